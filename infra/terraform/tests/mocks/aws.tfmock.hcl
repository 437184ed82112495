mock_data "aws_availability_zones" {
  defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
}
mock_data "aws_iam_policy_document" {
  defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
}
mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}
mock_data "aws_region" {
  defaults = { id = "eu-central-1", name = "eu-central-1" }
}
mock_data "aws_partition" {
  defaults = { partition = "aws" }
}
mock_data "aws_secretsmanager_secret" {
  defaults = { name = "atlas-dev/debezium", arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:atlas-dev/debezium-abcdef" }
}
mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
}
mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
}
mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mock" }
}
mock_resource "aws_s3_bucket" {
  defaults = { arn = "arn:aws:s3:::mock", id = "mock" }
}
mock_resource "aws_msk_configuration" {
  defaults = { arn = "arn:aws:kafka:eu-central-1:123456789012:configuration/mock/1", latest_revision = 1 }
}
mock_resource "aws_msk_cluster" {
  defaults = { arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/mock/1", bootstrap_brokers = "b-1:9092,b-2:9092" }
}
mock_resource "aws_mskconnect_custom_plugin" {
  defaults = { arn = "arn:aws:kafkaconnect:eu-central-1:123456789012:custom-plugin/mock/1", latest_revision = 1 }
}
mock_resource "aws_mskconnect_worker_configuration" {
  defaults = { arn = "arn:aws:kafkaconnect:eu-central-1:123456789012:worker-configuration/mock/1", latest_revision = 1 }
}
mock_resource "aws_rds_cluster" {
  defaults = {
    endpoint        = "writer.example"
    reader_endpoint = "readers.example"
    master_user_secret = [{
      kms_key_id    = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
      secret_arn    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-mock"
      secret_status = "active"
    }]
  }
}
mock_resource "aws_redshift_cluster" {
  defaults = { endpoint = "redshift.example:5439" }
}
