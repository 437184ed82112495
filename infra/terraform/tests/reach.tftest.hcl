# What reaches what: routes, security groups and roles, module by module, applied against the mock.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "atlas-dev"
  region             = "eu-central-1"
  vpc_id             = "vpc-1"
  subnet_ids         = ["subnet-1", "subnet-2"]
  client_cidrs       = ["10.40.128.0/19"]
  log_retention_days = 7
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  alarm_topic_arns   = []
}

run "private_subnets_have_a_way_out_and_those_of_the_stores_have_none" {
  command = apply
  module {
    source = "./modules/network"
  }
  variables {
    cidr     = "10.40.0.0/16"
    az_count = 2
  }
  assert {
    condition = alltrue([for i in range(2) :
      one(aws_route_table.private[i].route).cidr_block == "0.0.0.0/0" &&
      one(aws_route_table.private[i].route).nat_gateway_id == aws_nat_gateway.this[i].id &&
      aws_route_table_association.private[i].route_table_id == aws_route_table.private[i].id
    ])
    error_message = "A private subnet leads outward through its zone's NAT gateway."
  }
  assert {
    condition     = length(aws_route_table.database.route) == 0 && alltrue([for a in aws_route_table_association.database : a.route_table_id == aws_route_table.database.id])
    error_message = "The stores' subnets have no way out."
  }
  assert {
    condition     = contains(aws_vpc_endpoint.s3.route_table_ids, aws_route_table.database.id)
    error_message = "S3 is reached from the stores' subnets by its endpoint."
  }
}

run "redshift_reaches_the_lakes_catalogue_and_s3_and_nothing_else" {
  command = apply
  module {
    source = "./modules/redshift"
  }
  variables {
    node_type             = "ra3.xlplus"
    cluster_size          = 2
    migrate_retired_nodes = false
    backup_retention_days = 7
    deletion_protection   = false
    lake_bucket_arn       = "arn:aws:s3:::mock"
    lake_database         = "atlas_dev"
    s3_prefix_list_id     = "pl-1"
  }
  assert {
    condition     = aws_vpc_endpoint.glue.service_name == "com.amazonaws.eu-central-1.glue" && aws_vpc_endpoint.glue.private_dns_enabled && aws_vpc_endpoint.glue.subnet_ids == toset(var.subnet_ids)
    error_message = "Glue has an endpoint in Redshift's subnets, under its own name."
  }
  assert {
    condition     = aws_vpc_endpoint.glue.security_group_ids == toset([aws_security_group.glue.id]) && aws_vpc_security_group_ingress_rule.glue.referenced_security_group_id == aws_security_group.this.id
    error_message = "The endpoint of Glue lets Redshift in."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.glue.referenced_security_group_id == aws_security_group.glue.id && aws_vpc_security_group_egress_rule.s3.prefix_list_id == "pl-1"
    error_message = "Redshift may call Glue and S3."
  }
}

run "kafka_is_open_at_its_one_port_and_connect_calls_by_name" {
  command = apply
  module {
    source = "./modules/kafka"
  }
  variables {
    postgres_group_id = "sg-postgres"
    kafka_version     = "3.9.x.kraft"
    instance_type     = "kafka.m7g.large"
    volume_gb         = 100
  }
  assert {
    condition     = alltrue([for rule in concat(values(aws_vpc_security_group_ingress_rule.pods), [aws_vpc_security_group_ingress_rule.connect]) : rule.from_port == 9092 && rule.to_port == 9092])
    error_message = "The brokers are called at 9092 alone."
  }
  assert {
    condition     = { for name, rule in aws_vpc_security_group_egress_rule.connect : name => [rule.referenced_security_group_id, tostring(rule.from_port), tostring(rule.to_port)] } == { kafka = [aws_security_group.brokers.id, "9092", "9092"], postgres = ["sg-postgres", "5432", "5432"] }
    error_message = "Inside the VPC Connect calls the brokers and PostgreSQL, by their security groups."
  }
}

run "external_secrets_reads_the_owners_password_too" {
  command = apply
  module {
    source = "./modules/pods"
  }
  variables {
    oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"
    owner_secret_arn  = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-1"
    metrics_group_arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mock"
  }
  assert {
    condition = [for s in data.aws_iam_policy_document.secrets.statement : s.resources if contains(s.actions, "secretsmanager:GetSecretValue")] == [toset([
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:atlas-dev/*",
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-1",
    ])]
    error_message = "Secrets of this environment and the one that RDS made, no others."
  }
}
