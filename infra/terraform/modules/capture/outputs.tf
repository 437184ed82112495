output "subnet_ids" {
  description = "Subnets that the workers stand in."
  value       = aws_mskconnect_connector.this.kafka_cluster[0].apache_kafka_cluster[0].vpc[0].subnets
}

output "settings" {
  description = "The connector's settings, as they are sent."
  value       = local.settings
}
