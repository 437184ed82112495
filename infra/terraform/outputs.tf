output "vpc_id" {
  description = "The VPC: the EKS cluster's, too."
  value       = module.network.vpc_id
}

output "private_subnet_ids" {
  description = "Subnets of the EKS cluster's nodes; they have a way out."
  value       = module.network.private_subnet_ids
}

output "postgres_primary" {
  description = "host:port of Aurora's writer: postgres-primary of the Kubernetes overlay."
  value       = "${module.aurora.writer_endpoint}:5432"
}

output "postgres_replica" {
  description = "host:port of Aurora's readers: postgres-replica of the Kubernetes overlay."
  value       = "${module.aurora.reader_endpoint}:5432"
}

output "postgres_secret_arn" {
  description = "Secret with the owner's password; RDS makes and rotates it."
  value       = module.aurora.master_secret_arn
}

output "kafka_bootstrap" {
  description = "host:port of the brokers, with commas: ATLAS_KAFKA_BOOTSTRAP."
  value       = module.kafka.bootstrap_servers
}

output "redshift_endpoint" {
  description = "host:port of Redshift."
  value       = module.redshift.endpoint
}

output "redshift_node_type" {
  description = "Node type that is created; another one than asked for where that is retired."
  value       = module.redshift.node_type
}

output "lake_bucket" {
  description = "Bucket of the lake."
  value       = module.lake.bucket
}

output "database_cidrs" {
  description = "Addresses of the stores' subnets: the NetworkPolicies of the overlay prod."
  value       = module.network.database_cidrs
}

output "pod_role_arns" {
  description = "IAM role of each service account that has one."
  value       = local.oidc_enabled ? module.pods[0].role_arns : {}
}
