variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets, in two zones or more."
  type        = list(string)
}

variable "client_cidrs" {
  description = "Addresses of the pods that call it."
  type        = list(string)
}

variable "postgres_group_id" {
  description = "Security group of PostgreSQL, which Connect reads."
  type        = string
}

variable "kafka_version" {
  description = "Version."
  type        = string
}

variable "instance_type" {
  description = "Type of a broker."
  type        = string
}

variable "volume_gb" {
  description = "Disk of a broker in GB."
  type        = number
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "kms_key_arn" {
  description = "KMS key that everything is encrypted with."
  type        = string
}

variable "alarm_topic_arns" {
  description = "SNS topics of alarms."
  type        = list(string)
}
