# Production: three zones, with the seed's sizes.
environment           = "prod"
az_count              = 3
rds_instance_class    = "db.r6g.2xlarge" # 8 vCPU, 64 GB
rds_allocated_storage = 1000             # GB
rds_reader_count      = 2
redshift_node_type    = "ra3.xlplus" # 4 vCPU, 32 GB, managed storage
redshift_cluster_size = 3            # over two zones
kafka_instance_type   = "kafka.m7g.large"
kafka_volume_gb       = 500
backup_retention_days = 35
deletion_protection   = true

# Seconds, as infra/compose/alarms.yaml; nothing is ever proven of Aurora's readers.
freshness_limit_seconds = { primary = 1, olap = 300 }
