locals {
  name         = "atlas-${var.environment}"
  pod_cidrs    = length(var.pod_cidrs) > 0 ? var.pod_cidrs : module.network.private_cidrs
  oidc_enabled = var.eks_oidc_provider_arn != ""
}

module "encryption" {
  source = "./modules/encryption"
  name   = local.name
  region = var.region
}

module "network" {
  source             = "./modules/network"
  name               = local.name
  cidr               = var.vpc_cidr
  az_count           = var.az_count
  region             = var.region
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
}

module "aurora" {
  source                = "./modules/aurora"
  name                  = local.name
  vpc_id                = module.network.vpc_id
  subnet_ids            = module.network.database_subnet_ids
  zones                 = module.network.zones
  client_cidrs          = local.pod_cidrs
  client_group_ids      = { connect = module.kafka.connect_security_group_id }
  engine_version        = var.rds_engine_version
  instance_class        = var.rds_instance_class
  reader_count          = var.rds_reader_count
  expected_gb           = var.rds_allocated_storage
  backup_retention_days = var.backup_retention_days
  deletion_protection   = var.deletion_protection
  log_retention_days    = var.log_retention_days
  kms_key_arn           = module.encryption.key_arn
  alarm_topic_arns      = var.alarm_topic_arns
}

module "kafka" {
  source             = "./modules/kafka"
  name               = local.name
  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.database_subnet_ids
  client_cidrs       = local.pod_cidrs
  postgres_group_id  = module.aurora.security_group_id
  kafka_version      = var.kafka_version
  instance_type      = var.kafka_instance_type
  volume_gb          = var.kafka_volume_gb
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
  alarm_topic_arns   = var.alarm_topic_arns
}

module "capture" {
  source             = "./modules/capture"
  count              = var.create_connector ? 1 : 0
  name               = local.name
  subnet_ids         = module.network.private_subnet_ids # a way out: passwords come from Secrets Manager
  security_group_id  = module.kafka.connect_security_group_id
  bootstrap_servers  = module.kafka.bootstrap_servers
  plugin_bucket_arn  = module.lake.bucket_arn
  plugin_key         = var.connect_plugin_key
  database_host      = module.aurora.writer_endpoint
  settings_file      = "${path.module}/../debezium/connector.json"
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
}

module "lake" {
  source      = "./modules/lake"
  name        = local.name
  kms_key_arn = module.encryption.key_arn
}

module "redshift" {
  source                = "./modules/redshift"
  name                  = local.name
  region                = var.region
  vpc_id                = module.network.vpc_id
  subnet_ids            = module.network.database_subnet_ids
  client_cidrs          = local.pod_cidrs
  node_type             = var.redshift_node_type
  cluster_size          = var.redshift_cluster_size
  migrate_retired_nodes = var.migrate_retired_nodes
  backup_retention_days = var.backup_retention_days
  deletion_protection   = var.deletion_protection
  log_retention_days    = var.log_retention_days
  kms_key_arn           = module.encryption.key_arn
  lake_bucket_arn       = module.lake.bucket_arn
  lake_database         = module.lake.database
  s3_prefix_list_id     = module.network.s3_prefix_list_id
}

module "parameters" {
  source = "./modules/parameters"
  name   = local.name
  values = {
    "postgres/primary"  = "${module.aurora.writer_endpoint}:5432"
    "postgres/replica"  = "${module.aurora.reader_endpoint}:5432"
    "postgres/secret"   = module.aurora.master_secret_arn
    "kafka/bootstrap"   = module.kafka.bootstrap_servers
    "redshift/endpoint" = module.redshift.endpoint
    "lake/bucket"       = module.lake.bucket
    "lake/database"     = module.lake.database
  }
  kms_key_arn = module.encryption.key_arn
}

module "freshness" {
  source             = "./modules/freshness"
  name               = local.name
  limits             = var.freshness_limit_seconds
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
  alarm_topic_arns   = var.alarm_topic_arns
}

module "pods" {
  source            = "./modules/pods"
  count             = local.oidc_enabled ? 1 : 0
  name              = local.name
  region            = var.region
  oidc_provider_arn = var.eks_oidc_provider_arn
  owner_secret_arn  = module.aurora.master_secret_arn
  metrics_group_arn = module.freshness.log_group_arn
  kms_key_arn       = module.encryption.key_arn
}
