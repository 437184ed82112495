# The whole, applied against the mock. Apart from the plans: values that a mock knows early must not change later.
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

run "everything_is_made" {
  command = apply
  variables {
    eks_oidc_provider_arn   = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"
    create_connector        = true
    freshness_limit_seconds = { replica = 1, olap = 300 }
  }
  assert {
    condition     = output.postgres_primary == "writer.example:5432" && output.postgres_replica == "readers.example:5432"
    error_message = "The outputs name Aurora's two endpoints."
  }
  assert {
    condition     = length(module.freshness.alarm_names) == 2
    error_message = "Each copy with a limit has an alarm."
  }
  assert {
    condition     = output.kafka_bootstrap == "b-1:9092,b-2:9092"
    error_message = "The outputs name the brokers."
  }
  assert {
    condition     = toset(keys(output.pod_role_arns)) == toset(["external-secrets", "otel-collector"])
    error_message = "Only External Secrets and the collector call AWS."
  }
  assert {
    condition     = module.capture[0].settings["slot.name"] == "debezium_atlas_slot" && module.capture[0].settings["transforms.route.replacement"] == "atlas.$1"
    error_message = "The connector's settings are those of infra/debezium/connector.json."
  }
  assert {
    condition     = module.capture[0].settings["database.password"] == "$${secretsManager:atlas-dev/debezium:password}"
    error_message = "The connector's password comes from the secret and is in no plan."
  }
  assert {
    condition     = toset(module.capture[0].subnet_ids) == toset(module.network.private_subnet_ids) && toset(output.private_subnet_ids) == toset(module.network.private_subnet_ids)
    error_message = "Connect stands in the private subnets, which lead to Secrets Manager."
  }
  assert {
    condition     = toset(module.aurora.zones) == toset(module.network.zones)
    error_message = "Aurora's writer and reader stand in the zones of the subnets."
  }
  assert {
    condition     = output.postgres_secret_arn == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-mock" && output.vpc_id == module.network.vpc_id
    error_message = "The outputs name the owner's secret, as RDS made it, and the VPC."
  }
}
