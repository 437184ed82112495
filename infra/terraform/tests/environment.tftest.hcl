# One environment's own values: terraform test -filter=tests/environment.tftest.hcl -var-file=environments/prod.tfvars
mock_provider "aws" {
  source = "./tests/mocks"
}

run "the_values_of_an_environment_can_be_planned" {
  command = plan
  assert {
    condition     = output.redshift_node_type == (var.redshift_node_type == "dc2.large" ? "ra3.large" : var.redshift_node_type)
    error_message = "Only a retired node type may become another one."
  }
  assert {
    condition     = var.environment != "prod" || (module.redshift.multi_az && var.deletion_protection && var.rds_reader_count >= 2)
    error_message = "Production stands in several zones and is protected."
  }
  assert {
    condition     = join(" ", sort(module.freshness.alarm_names)) == (var.environment == "prod" ? "atlas-prod-staleness-olap atlas-prod-staleness-primary" : "")
    error_message = "Production has alarms on what the primary and ClickHouse prove; development has no collector to feed any."
  }
  assert {
    condition     = length(distinct(module.aurora.zones)) == min(var.az_count, 1 + var.rds_reader_count)
    error_message = "Aurora's instances stand in as many zones as they can."
  }
}
