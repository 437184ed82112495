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

variable "log_retention_days" {
  description = "Days that the log of metrics is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "KMS key that everything is encrypted with."
  type        = string
}
