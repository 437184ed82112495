terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

# The values that differ between deployments come from one secret (keys password and placeholder); the settings are those of
# every other deployment: infra/debezium/connector.json.
data "aws_secretsmanager_secret" "this" {
  name = "${var.name}/debezium"
}

locals {
  secret   = data.aws_secretsmanager_secret.this.name
  template = jsondecode(file(var.settings_file))
  # What connector.json leaves open, by the name of its placeholder.
  values = {
    database_host                 = var.database_host
    database_port                 = "5432"
    database_user                 = "atlas_debezium"
    database_password             = format("%s{secretsManager:%s:password}", "$", local.secret)
    database_name                 = "atlas_telemetry"
    unavailable_value_placeholder = format("%s{secretsManager:%s:placeholder}", "$", local.secret)
  }
  settings = {
    for key, value in local.template : key => replace(lookup(local.values, try(regex("^.{2}([a-z_]+)}$", value)[0], ""), value), "$$", "$")
    if !startswith(key, "//")
  }
}

resource "aws_mskconnect_custom_plugin" "this" {
  name         = "${var.name}-debezium-3-7-0"
  content_type = "ZIP"
  location {
    s3 {
      bucket_arn = var.plugin_bucket_arn
      file_key   = var.plugin_key
    }
  }
}

resource "aws_mskconnect_worker_configuration" "this" {
  name                    = "${var.name}-exactly-once"
  properties_file_content = <<-PROPERTIES
    key.converter=org.apache.kafka.connect.json.JsonConverter
    key.converter.schemas.enable=false
    value.converter=org.apache.kafka.connect.json.JsonConverter
    value.converter.schemas.enable=false
    exactly.once.source.support=enabled
    offset.flush.interval.ms=1000
    connector.client.config.override.policy=All
    config.providers=secretsManager
    config.providers.secretsManager.class=com.amazonaws.kafka.config.providers.SecretsManagerConfigProvider
  PROPERTIES
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/atlas/${var.name}/connect"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["kafkaconnect.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "this" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [data.aws_secretsmanager_secret.this.arn]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-connect"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "secret"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

resource "aws_mskconnect_connector" "this" {
  name                       = "${var.name}-atlas-postgres"
  kafkaconnect_version       = "3.7.x"
  connector_configuration    = local.settings
  service_execution_role_arn = aws_iam_role.this.arn

  capacity {
    provisioned_capacity {
      mcu_count    = 2
      worker_count = 1 # one task reads one slot
    }
  }
  kafka_cluster {
    apache_kafka_cluster {
      bootstrap_servers = var.bootstrap_servers
      vpc {
        security_groups = [var.security_group_id]
        subnets         = var.subnet_ids
      }
    }
  }
  kafka_cluster_client_authentication {
    authentication_type = "NONE"
  }
  kafka_cluster_encryption_in_transit {
    encryption_type = "PLAINTEXT"
  }
  plugin {
    custom_plugin {
      arn      = aws_mskconnect_custom_plugin.this.arn
      revision = aws_mskconnect_custom_plugin.this.latest_revision
    }
  }
  worker_configuration {
    arn      = aws_mskconnect_worker_configuration.this.arn
    revision = aws_mskconnect_worker_configuration.this.latest_revision
  }
  log_delivery {
    worker_log_delivery {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }
}
