variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "kms_key_arn" {
  description = "KMS key that everything is encrypted with."
  type        = string
}
