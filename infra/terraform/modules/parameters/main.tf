terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

resource "aws_ssm_parameter" "this" {
  for_each = var.values
  name     = "/${var.name}/${each.key}"
  type     = "SecureString"
  key_id   = var.kms_key_arn
  value    = each.value
}
