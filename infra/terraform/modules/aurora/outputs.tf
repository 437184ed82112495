output "writer_endpoint" {
  description = "Host of the writer."
  value       = aws_rds_cluster.this.endpoint
}

output "reader_endpoint" {
  description = "Host of the readers."
  value       = aws_rds_cluster.this.reader_endpoint
}

output "master_secret_arn" {
  description = "Secret with the owner's password."
  value       = aws_rds_cluster.this.master_user_secret[0].secret_arn
}

output "zones" {
  description = "Zone of each instance."
  value       = aws_rds_cluster_instance.this[*].availability_zone
}

output "security_group_id" {
  description = "Security group of the cluster."
  value       = aws_security_group.this.id
}
