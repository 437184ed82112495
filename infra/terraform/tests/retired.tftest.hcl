# dc2.large is a name that is known, and refused with what to do.
mock_provider "aws" {
  source = "./tests/mocks"
}

run "a_retired_node_type_is_refused_unless_migrated" {
  command = plan
  module {
    source = "./modules/redshift"
  }
  variables {
    name                  = "atlas-dev"
    region                = "eu-central-1"
    vpc_id                = "vpc-1"
    subnet_ids            = ["subnet-1", "subnet-2"]
    client_cidrs          = ["10.40.0.0/16"]
    node_type             = "dc2.large"
    cluster_size          = 1
    migrate_retired_nodes = false
    backup_retention_days = 7
    deletion_protection   = false
    log_retention_days    = 7
    kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    lake_bucket_arn       = "arn:aws:s3:::mock"
    lake_database         = "atlas_dev"
    s3_prefix_list_id     = "pl-1"
  }
  expect_failures = [aws_redshift_cluster.this]
}

run "aurora_streams_changes_is_encrypted_and_spread" {
  command = plan
  module {
    source = "./modules/aurora"
  }
  variables {
    name                  = "atlas-dev"
    vpc_id                = "vpc-1"
    subnet_ids            = ["subnet-1", "subnet-2"]
    client_cidrs          = ["10.40.0.0/16"]
    zones                 = ["eu-central-1a", "eu-central-1b"]
    client_group_ids      = { connect = "sg-1" }
    engine_version        = "17.5"
    instance_class        = "db.r6g.large"
    reader_count          = 2
    expected_gb           = 100
    backup_retention_days = 7
    deletion_protection   = true
    log_retention_days    = 7
    kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    alarm_topic_arns      = []
  }
  assert {
    condition     = length([for p in aws_rds_cluster_parameter_group.this.parameter : p if p.name == "rds.logical_replication" && p.value == "1"]) == 1
    error_message = "The change stream needs logical replication."
  }
  assert {
    condition     = aws_rds_cluster.this.storage_encrypted && aws_rds_cluster.this.deletion_protection
    error_message = "Aurora must be encrypted and protected."
  }
  assert {
    condition     = length(aws_rds_cluster_instance.this) == 3 && alltrue([for i in aws_rds_cluster_instance.this : i.performance_insights_enabled && !i.publicly_accessible])
    error_message = "A writer and two readers, with Performance Insights, not public."
  }
  assert {
    condition     = tolist(aws_rds_cluster_instance.this[*].availability_zone) == tolist(["eu-central-1a", "eu-central-1b", "eu-central-1a"])
    error_message = "The first reader stands in another zone than the writer, and the zones are filled in turn."
  }
  assert {
    condition     = contains(aws_rds_cluster.this.enabled_cloudwatch_logs_exports, "postgresql")
    error_message = "Logs must go to CloudWatch."
  }
  assert {
    condition     = aws_rds_cluster_parameter_group.this.family == "aurora-postgresql17"
    error_message = "The parameter group must be of the engine's major version."
  }
}
