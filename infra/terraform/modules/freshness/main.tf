terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

data "aws_region" "this" {}

# The metric is what the lag monitor's board says: an OpenTelemetry collector reads the service's metrics port (docs/metrics.md) and
# sends it with the CloudWatch EMF exporter under this namespace. Missing data is an alarm: unknown never counts as fresh.
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
