# Development: small, in two zones, with the seed's sizes.
environment           = "dev"
az_count              = 2
rds_instance_class    = "db.r6g.large" # 2 vCPU, 16 GB
rds_allocated_storage = 100            # GB
rds_reader_count      = 1
redshift_node_type    = "dc2.large" # retired by AWS: see the next line
migrate_retired_nodes = true        # ra3.large is created in its place
redshift_cluster_size = 1           # one node
kafka_instance_type   = "kafka.t3.small"
kafka_volume_gb       = 50
backup_retention_days = 7
deletion_protection   = false
