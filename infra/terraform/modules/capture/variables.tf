variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the workers, with a way out to Secrets Manager."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the workers."
  type        = string
}

variable "bootstrap_servers" {
  description = "Brokers."
  type        = string
}

variable "plugin_bucket_arn" {
  description = "Bucket with the plugin."
  type        = string
}

variable "plugin_key" {
  description = "Key of the plugin's zip."
  type        = string
}

variable "database_host" {
  description = "Host of the writer."
  type        = string
}

variable "settings_file" {
  description = "infra/debezium/connector.json."
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
