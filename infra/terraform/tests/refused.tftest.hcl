# Values that are refused before anything is planned, each by its own variable's rule: every one that is listed must fail.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  environment           = "dev"
  az_count              = 2
  rds_instance_class    = "db.r6g.large"
  rds_allocated_storage = 100
  redshift_node_type    = "ra3.xlplus"
  redshift_cluster_size = 3
}

run "numbers_below_their_least_are_refused" {
  command = plan
  variables {
    vpc_cidr                = "10.40.0.0/19"
    rds_allocated_storage   = 19
    redshift_cluster_size   = 0
    kafka_volume_gb         = 9
    backup_retention_days   = 6
    log_retention_days      = 0
    freshness_limit_seconds = { olap = 0 }
    rds_engine_version      = "15.13"
  }
  expect_failures = [
    var.vpc_cidr,
    var.rds_allocated_storage,
    var.redshift_cluster_size,
    var.kafka_volume_gb,
    var.backup_retention_days,
    var.log_retention_days,
    var.freshness_limit_seconds,
    var.rds_engine_version,
  ]
}

run "numbers_above_their_most_are_refused" {
  command = plan
  variables {
    vpc_cidr              = "10.0.0.0/15"
    rds_allocated_storage = 65537
    redshift_cluster_size = 33
    kafka_volume_gb       = 4097
    backup_retention_days = 36
    log_retention_days    = 3654
    pod_cidrs             = ["10.40.128.0/19", "0.0.0.0/0"]
  }
  expect_failures = [
    var.vpc_cidr,
    var.rds_allocated_storage,
    var.redshift_cluster_size,
    var.kafka_volume_gb,
    var.backup_retention_days,
    var.log_retention_days,
    var.pod_cidrs,
  ]
}

run "names_that_aws_does_not_write_so_are_refused" {
  command = plan
  variables {
    region                  = "eu-central-1a"
    vpc_cidr                = "10.40.0/16"
    log_retention_days      = 8
    freshness_limit_seconds = { clickhouse = 300 }
    eks_oidc_provider_arn   = "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"
    pod_cidrs               = ["10.40.128.1/19"]
    alarm_topic_arns        = ["alarms"]
    rds_engine_version      = "17"
    kafka_version           = "3.9"
  }
  expect_failures = [
    var.region,
    var.vpc_cidr,
    var.log_retention_days,
    var.freshness_limit_seconds,
    var.eks_oidc_provider_arn,
    var.pod_cidrs,
    var.alarm_topic_arns,
    var.rds_engine_version,
    var.kafka_version,
  ]
}

run "pods_of_ipv6_are_refused" {
  command = plan
  variables {
    pod_cidrs = ["fd00::/56"]
  }
  expect_failures = [
    var.pod_cidrs,
  ]
}

run "values_of_every_rule_are_accepted" {
  command = plan
  variables {
    region                  = "us-gov-west-1"
    vpc_cidr                = "10.40.0.0/18"
    rds_engine_version      = "16.9"
    kafka_version           = "3.8.x"
    log_retention_days      = 3653
    eks_oidc_provider_arn   = "arn:aws-us-gov:iam::123456789012:oidc-provider/oidc.eks.us-gov-west-1.amazonaws.com/id/EXAMPLE"
    pod_cidrs               = ["10.40.128.0/19", "100.64.0.0/16"]
    alarm_topic_arns        = ["arn:aws-us-gov:sns:us-gov-west-1:123456789012:alarms"]
    freshness_limit_seconds = { primary = 1, replica = 1.5, olap = 300 }
  }
  assert {
    condition     = length(module.freshness.alarm_names) == 3
    error_message = "A limit may be given for each copy that the metric names."
  }
}
