terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

data "aws_region" "this" {}

# What the collector (k8s/overlays/observability) writes the metric to, in CloudWatch's embedded metric format.
resource "aws_cloudwatch_log_group" "metrics" {
  name              = "/atlas/${var.name}/metrics"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

# The metric is what the lag monitor's board says. Missing data is an alarm: unknown never counts as fresh.
resource "aws_cloudwatch_metric_alarm" "staleness" {
  for_each            = var.limits
  alarm_name          = "${var.name}-staleness-${each.key}"
  alarm_description   = "The proven staleness of ${each.key} is above its limit, or unknown."
  namespace           = "Atlas/${var.name}"
  metric_name         = "atlas_copy_staleness_seconds"
  dimensions          = { source = each.key }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  threshold           = each.value
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
}

resource "aws_cloudwatch_dashboard" "this" {
  count          = length(var.limits) > 0 ? 1 : 0
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for index, source in sort(keys(var.limits)) : {
      type = "metric", x = 0, y = index * 6, width = 24, height = 6
      properties = {
        title   = "Proven staleness of ${source}"
        metrics = [["Atlas/${var.name}", "atlas_copy_staleness_seconds", "source", source, { stat = "Maximum" }]]
        region  = data.aws_region.this.id
        period  = 60
        view    = "timeSeries"
      }
    }]
  })
}
