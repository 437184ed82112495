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

output "zones" {
  description = "Zones that are used."
  value       = local.zones
}
