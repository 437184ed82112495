terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

data "aws_caller_identity" "this" {}

locals {
  issuer = replace(var.oidc_provider_arn, "/^.*oidc-provider\\//", "")
  # Only who calls AWS has a role: the others' service accounts have none. By name: namespace and service account.
  accounts = {
    external-secrets = "atlas:external-secrets"
    otel-collector   = "observability:otel-collector"
  }
  account = data.aws_caller_identity.this.account_id
}

data "aws_iam_policy_document" "trust" {
  for_each = local.accounts
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${each.value}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

# External Secrets reads the parameters, the stores' secrets and the database owner's, which RDS names by itself.
data "aws_iam_policy_document" "secrets" {
  statement {
    actions   = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"]
    resources = ["arn:aws:ssm:${var.region}:${local.account}:parameter/${var.name}/*"]
  }
  statement {
    actions = ["secretsmanager:GetSecretValue"]
    resources = [
      "arn:aws:secretsmanager:${var.region}:${local.account}:secret:${var.name}/*",
      var.owner_secret_arn,
    ]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
}

# The collector writes the staleness into its log group, from which CloudWatch makes the metric.
data "aws_iam_policy_document" "metrics" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [var.metrics_group_arn, "${var.metrics_group_arn}:*"]
  }
}

resource "aws_iam_role" "this" {
  for_each           = local.accounts
  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy" "secrets" {
  name   = "secrets"
  role   = aws_iam_role.this["external-secrets"].id
  policy = data.aws_iam_policy_document.secrets.json
}

resource "aws_iam_role_policy" "metrics" {
  name   = "metrics"
  role   = aws_iam_role.this["otel-collector"].id
  policy = data.aws_iam_policy_document.metrics.json
}
