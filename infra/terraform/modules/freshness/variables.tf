variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "limits" {
  description = "Seconds of proven staleness by copy."
  type        = map(number)
}

variable "alarm_topic_arns" {
  description = "SNS topics of alarms."
  type        = list(string)
}
