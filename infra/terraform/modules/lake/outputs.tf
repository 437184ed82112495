output "bucket" {
  description = "The bucket."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "Its ARN."
  value       = aws_s3_bucket.this.arn
}

output "database" {
  description = "Glue's database."
  value       = aws_glue_catalog_database.this.name
}
