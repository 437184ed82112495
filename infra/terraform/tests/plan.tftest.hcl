# What is refused before anything is made, and what a plan says. No AWS: the provider is a mock.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  environment           = "dev"
  az_count              = 2
  rds_instance_class    = "db.r6g.large"
  rds_allocated_storage = 100
  redshift_node_type    = "ra3.xlplus"
  redshift_cluster_size = 3
}

run "one_zone_is_refused" {
  command = plan
  variables { az_count = 1 }
  expect_failures = [var.az_count]
}

run "an_unknown_environment_is_refused" {
  command = plan
  variables { environment = "playground" }
  expect_failures = [var.environment]
}

run "an_instance_class_of_another_engine_is_refused" {
  command = plan
  variables { rds_instance_class = "ra3.xlplus" }
  expect_failures = [var.rds_instance_class]
}

run "an_unknown_node_type_is_refused" {
  command = plan
  variables { redshift_node_type = "ds2.xlarge" }
  expect_failures = [var.redshift_node_type]
}

run "no_reader_is_refused" {
  command = plan
  variables { rds_reader_count = 0 }
  expect_failures = [var.rds_reader_count]
}

run "a_cluster_of_several_nodes_stands_in_two_zones" {
  command = plan
  assert {
    condition     = module.redshift.multi_az && output.redshift_node_type == "ra3.xlplus"
    error_message = "Redshift of three ra3.xlplus must stand in two zones."
  }
}

run "a_retired_node_type_becomes_its_successor_when_asked" {
  command = plan
  variables {
    redshift_node_type    = "dc2.large"
    migrate_retired_nodes = true
    redshift_cluster_size = 1
  }
  assert {
    condition     = output.redshift_node_type == "ra3.large" && !module.redshift.multi_az
    error_message = "dc2.large must become ra3.large, in one zone."
  }
}

run "stores_and_pods_have_subnets_of_their_own_in_each_zone" {
  command = plan
  variables { az_count = 3 }
  assert {
    condition     = length(output.database_cidrs) == 3 && length(setintersection(output.database_cidrs, module.network.private_cidrs)) == 0
    error_message = "Each zone needs a database subnet, apart from the pods'."
  }
}
