variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "values" {
  description = "Values by the path below the name."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "KMS key that everything is encrypted with."
  type        = string
}
