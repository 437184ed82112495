output "settings" {
  description = "The connector's settings, as they are sent."
  value       = local.settings
}
