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

variable "zones" {
  description = "Zones of the subnets; writer and readers are laid over them in turn."
  type        = list(string)
}

variable "client_cidrs" {
  description = "Addresses of the pods that call it."
  type        = list(string)
}

variable "client_group_ids" {
  description = "Security groups that call it as well, by a name."
  type        = map(string)
}

variable "engine_version" {
  description = "Version of Aurora PostgreSQL."
  type        = string
}

variable "instance_class" {
  description = "Class of every instance."
  type        = string
}

variable "reader_count" {
  description = "Readers beside the writer."
  type        = number
}

variable "expected_gb" {
  description = "Size at which an alarm tells, in GB."
  type        = number
}

variable "backup_retention_days" {
  description = "Days that it can be set back."
  type        = number
}

variable "deletion_protection" {
  description = "Refuse deletion."
  type        = bool
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
