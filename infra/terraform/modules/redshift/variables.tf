variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "region" {
  description = "AWS region."
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

variable "node_type" {
  description = "Node type that is asked for."
  type        = string
}

variable "cluster_size" {
  description = "Nodes."
  type        = number
}

variable "migrate_retired_nodes" {
  description = "Take the successor of a retired node type."
  type        = bool
}

variable "backup_retention_days" {
  description = "Days that it can be set back."
  type        = number
}

variable "deletion_protection" {
  description = "Take a last snapshot."
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

variable "lake_bucket_arn" {
  description = "Bucket of the lake."
  type        = string
}

variable "lake_database" {
  description = "Glue's database of the lake."
  type        = string
}

variable "s3_prefix_list_id" {
  description = "S3's addresses."
  type        = string
}
