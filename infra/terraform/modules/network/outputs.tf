output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Subnets of the pods."
  value       = aws_subnet.private[*].id
}

output "database_subnet_ids" {
  description = "Subnets of the stores."
  value       = aws_subnet.database[*].id
}

output "private_cidrs" {
  description = "Addresses of the pods' subnets."
  value       = local.private_cidrs
}

output "database_cidrs" {
  description = "Addresses of the stores' subnets."
  value       = local.database_cidrs
}

output "s3_prefix_list_id" {
  description = "S3's addresses, which the endpoint of S3 leads to."
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "zones" {
  description = "Zones that are used."
  value       = local.zones
}
