output "alarm_names" {
  description = "Names of the alarms."
  value       = [for alarm in aws_cloudwatch_metric_alarm.staleness : alarm.alarm_name]
}

output "log_group_arn" {
  description = "Log group that the collector writes metrics to."
  value       = aws_cloudwatch_log_group.metrics.arn
}
