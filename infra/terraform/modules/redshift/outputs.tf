output "endpoint" {
  description = "host:port."
  value       = aws_redshift_cluster.this.endpoint
}

output "node_type" {
  description = "Node type that is created."
  value       = local.node_type
}

output "multi_az" {
  description = "Whether it stands in two zones."
  value       = local.multi_az
}
