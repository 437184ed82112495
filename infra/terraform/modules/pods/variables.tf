variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "oidc_provider_arn" {
  description = "OIDC provider of the EKS cluster."
  type        = string
}

variable "owner_secret_arn" {
  description = "Secret with the database owner's password."
  type        = string
}

variable "metrics_group_arn" {
  description = "Log group that the collector writes metrics to."
  type        = string
}

variable "kms_key_arn" {
  description = "KMS key that everything is encrypted with."
  type        = string
}
