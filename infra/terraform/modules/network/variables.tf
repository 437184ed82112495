variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC."
  type        = string
}

variable "az_count" {
  description = "Zones."
  type        = number
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "kms_key_arn" {
  description = "KMS key that everything is encrypted with."
  type        = string
}
