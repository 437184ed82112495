output "bootstrap_servers" {
  description = "host:port of the brokers, without TLS, inside the VPC."
  value       = aws_msk_cluster.this.bootstrap_brokers
}

output "connect_security_group_id" {
  description = "Security group of MSK Connect."
  value       = aws_security_group.connect.id
}

output "cluster_arn" {
  description = "The cluster."
  value       = aws_msk_cluster.this.arn
}
