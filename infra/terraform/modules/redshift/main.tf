terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

locals {
  # AWS creates no more clusters of these; the size that AWS names as their successor.
  successors = { "dc2.large" = "ra3.large" }
  retired    = contains(keys(local.successors), var.node_type)
  node_type  = local.retired ? local.successors[var.node_type] : var.node_type
  # Two zones need two nodes of ra3.xlplus or larger.
  multi_az = var.cluster_size > 1 && contains(["ra3.xlplus", "ra3.4xlarge", "ra3.16xlarge"], local.node_type)
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redshift"
  description = "Redshift from the pods; outward to S3 and to the endpoint of Glue"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "pods" {
  for_each          = toset(var.client_cidrs)
  security_group_id = aws_security_group.this.id
  description       = "Redshift from the pods"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 5439
  to_port           = 5439
}

# With enhanced_vpc_routing COPY, UNLOAD and the lake's catalogue are reached from inside the VPC only.
resource "aws_vpc_security_group_egress_rule" "s3" {
  security_group_id = aws_security_group.this.id
  description       = "Redshift to S3, by its endpoint"
  prefix_list_id    = var.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "glue" {
  security_group_id            = aws_security_group.this.id
  description                  = "Redshift to the lake's catalogue"
  referenced_security_group_id = aws_security_group.glue.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

# Glue's name leads here in the whole VPC: who else calls it there needs a rule of this group.
resource "aws_security_group" "glue" {
  name        = "${var.name}-glue"
  description = "Endpoint of Glue: HTTPS from Redshift, nothing outward"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "glue" {
  security_group_id            = aws_security_group.glue.id
  description                  = "The lake's catalogue from Redshift"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_endpoint" "glue" {
  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${var.region}.glue"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.glue.id]
}

resource "aws_redshift_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_redshift_parameter_group" "this" {
  name   = var.name
  family = "redshift-1.0"
  parameter {
    name  = "require_ssl"
    value = "true"
  }
  parameter {
    name  = "enable_user_activity_logging"
    value = "true"
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["redshift.amazonaws.com"]
    }
  }
}

data "aws_partition" "this" {}

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "lake" {
  statement {
    actions   = ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"]
    resources = [var.lake_bucket_arn, "${var.lake_bucket_arn}/*"]
  }
  statement {
    actions = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"]
    resources = [
      "arn:${data.aws_partition.this.partition}:glue:*:${data.aws_caller_identity.this.account_id}:catalog",
      "arn:${data.aws_partition.this.partition}:glue:*:${data.aws_caller_identity.this.account_id}:database/${var.lake_database}",
      "arn:${data.aws_partition.this.partition}:glue:*:${data.aws_caller_identity.this.account_id}:table/${var.lake_database}/*",
    ]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-redshift"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "lake" {
  name   = "read-the-lake"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.lake.json
}

resource "aws_redshift_cluster" "this" {
  # checkov:skip=CKV_AWS_71: logs go to CloudWatch by aws_redshift_logging below
  cluster_identifier                   = var.name
  database_name                        = "atlas"
  master_username                      = "atlas_owner"
  manage_master_password               = true
  master_password_secret_kms_key_id    = var.kms_key_arn
  node_type                            = local.node_type
  number_of_nodes                      = var.cluster_size
  cluster_type                         = var.cluster_size > 1 ? "multi-node" : "single-node"
  multi_az                             = local.multi_az
  availability_zone_relocation_enabled = !local.multi_az
  cluster_subnet_group_name            = aws_redshift_subnet_group.this.name
  cluster_parameter_group_name         = aws_redshift_parameter_group.this.name
  vpc_security_group_ids               = [aws_security_group.this.id]
  iam_roles                            = [aws_iam_role.this.arn]
  encrypted                            = true
  kms_key_id                           = var.kms_key_arn
  enhanced_vpc_routing                 = true
  publicly_accessible                  = false
  allow_version_upgrade                = true
  automated_snapshot_retention_period  = var.backup_retention_days
  skip_final_snapshot                  = !var.deletion_protection
  final_snapshot_identifier            = "${var.name}-last"

  lifecycle {
    precondition {
      condition     = !local.retired || var.migrate_retired_nodes
      error_message = "AWS creates no more ${var.node_type} clusters. Set redshift_node_type to ra3.large or larger, or migrate_retired_nodes = true to have ${local.node_type} created; an existing cluster is migrated by a resize or by restoring its snapshot."
    }
  }
}

resource "aws_redshift_logging" "this" {
  cluster_identifier   = aws_redshift_cluster.this.id
  log_destination_type = "cloudwatch"
  log_exports          = ["connectionlog", "userlog", "useractivitylog"]
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = toset(["connectionlog", "userlog", "useractivitylog"])
  name              = "/aws/redshift/cluster/${var.name}/${each.value}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}
