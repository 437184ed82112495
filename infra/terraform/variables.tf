variable "environment" {
  description = "Name of the environment; part of every name."
  type        = string
  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment must be dev, staging or prod."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region's name, such as eu-central-1, not a zone's."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC; a /16 leaves room for every subnet."
  type        = string
  default     = "10.40.0.0/16"
  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && can(regex("/1[6-8]$", var.vpc_cidr))
    error_message = "vpc_cidr must be a block of /16 to /18, such as 10.40.0.0/16."
  }
}

variable "az_count" {
  description = "Availability zones that subnets are laid over."
  type        = number
  default     = 3
  validation {
    condition     = var.az_count >= 2 && var.az_count <= 4
    error_message = "az_count must be 2 to 4: one zone is no high availability."
  }
}

variable "rds_instance_class" {
  description = "Instance class of Aurora's writer and readers, such as db.r6g.large."
  type        = string
  validation {
    condition     = can(regex("^db\\.(r|t|x)[0-9][a-z]*\\.[a-z0-9]+$", var.rds_instance_class))
    error_message = "rds_instance_class must be a class that Aurora PostgreSQL runs on, such as db.r6g.large."
  }
}

variable "rds_allocated_storage" {
  description = "Expected size of the database in GB. Aurora grows by itself and allocates nothing: this sets the alarm on its volume."
  type        = number
  validation {
    condition     = var.rds_allocated_storage >= 20 && var.rds_allocated_storage <= 65536
    error_message = "rds_allocated_storage must be 20 to 65536 GB."
  }
}

variable "rds_reader_count" {
  description = "Aurora readers beside the writer, each in another zone."
  type        = number
  default     = 1
  validation {
    condition     = var.rds_reader_count >= 1 && var.rds_reader_count <= 15
    error_message = "rds_reader_count must be 1 to 15: without a reader there is nothing to fail over to."
  }
}

variable "rds_engine_version" {
  description = "Version of Aurora PostgreSQL; 16 and later keep logical slots over a failover of the writer."
  type        = string
  default     = "17.5"
  validation {
    condition     = can(regex("^(1[6-9]|[2-9][0-9])\\.[0-9]+$", var.rds_engine_version))
    error_message = "rds_engine_version must be major.minor, 16 or later, such as 17.5: before that a failover loses the slot."
  }
}

variable "redshift_node_type" {
  description = "Node type of Redshift. The retired dc2.large is accepted as a name and told what it became."
  type        = string
  validation {
    condition     = contains(["dc2.large", "ra3.large", "ra3.xlplus", "ra3.4xlarge", "ra3.16xlarge"], var.redshift_node_type)
    error_message = "redshift_node_type must be ra3.large, ra3.xlplus, ra3.4xlarge, ra3.16xlarge, or the retired dc2.large."
  }
}

variable "redshift_cluster_size" {
  description = "Nodes of Redshift. One node is a cluster in one zone; two and more of ra3.xlplus and larger are laid over two zones."
  type        = number
  validation {
    condition     = var.redshift_cluster_size >= 1 && var.redshift_cluster_size <= 32
    error_message = "redshift_cluster_size must be 1 to 32."
  }
}

variable "migrate_retired_nodes" {
  description = "Create ra3.large where redshift_node_type names dc2.large, which AWS creates no more. Off: the plan fails and says so."
  type        = bool
  default     = false
}

variable "kafka_version" {
  description = "Version of Kafka on MSK."
  type        = string
  default     = "3.9.x.kraft"
  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.(x|[0-9]+)(\\.kraft|\\.tiered)?$", var.kafka_version))
    error_message = "kafka_version must be a version as MSK writes it, such as 3.9.x.kraft."
  }
}

variable "kafka_instance_type" {
  description = "Instance type of MSK's brokers; there is one a zone."
  type        = string
  default     = "kafka.m7g.large"
}

variable "kafka_volume_gb" {
  description = "Disk of a broker in GB; it grows by itself up to four times that."
  type        = number
  default     = 200
  validation {
    condition     = var.kafka_volume_gb >= 10 && var.kafka_volume_gb <= 4096
    error_message = "kafka_volume_gb must be 10 to 4096."
  }
}

variable "connect_plugin_key" {
  description = "Key, in the lake bucket, of the zip with Debezium's PostgreSQL connector 3.7.0.Final (docs/deploy.md says how it is made)."
  type        = string
  default     = "plugins/debezium-connector-postgres-3.7.0.Final.zip"
}

variable "create_connector" {
  description = "Create MSK Connect's connector. It needs the plugin in the bucket, the migrations and the connector's secret: true at the second apply."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that logs are kept in CloudWatch."
  type        = number
  default     = 400
  validation {
    condition = contains([
      1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
    ], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch knows, such as 7, 30, 90, 365, 400 or 731."
  }
}

variable "backup_retention_days" {
  description = "Days that Aurora and Redshift can be set back."
  type        = number
  default     = 14
  validation {
    condition     = var.backup_retention_days >= 7 && var.backup_retention_days <= 35
    error_message = "backup_retention_days must be 7 to 35."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete stores, and take last snapshots of them."
  type        = bool
  default     = true
}

variable "eks_oidc_provider_arn" {
  description = "ARN of the EKS cluster's OIDC provider; empty: no roles for pods are made."
  type        = string
  default     = ""
  validation {
    condition     = var.eks_oidc_provider_arn == "" || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/.+$", var.eks_oidc_provider_arn))
    error_message = "eks_oidc_provider_arn must be empty or arn:aws:iam::<account>:oidc-provider/<issuer>, not the issuer's URL."
  }
}

variable "pod_cidrs" {
  description = "Addresses that pods have; only they reach the stores. Empty: the VPC's private subnets."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cidr in var.pod_cidrs : try(cidrsubnet(cidr, 0, 0) == cidr && cidrnetmask(cidr) != "0.0.0.0", false)])
    error_message = "pod_cidrs must be blocks of IPv4 by their first address, such as 10.40.128.0/19, and never 0.0.0.0/0."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "alarm_topic_arns must be ARNs of SNS topics: arn:aws:sns:<region>:<account>:<topic>."
  }
}

variable "freshness_limit_seconds" {
  description = "Alarm when the proven staleness of a copy stays above this, by copy, such as { olap = 300 }. Needs the metric atlas_copy_staleness_seconds of the lag monitor, which the collector of k8s/overlays/observability sends to CloudWatch: without it the alarm stays on, as it does for a copy whose staleness is unknown, such as a reader of Aurora."
  type        = map(number)
  default     = {}
  validation {
    condition     = alltrue([for copy, limit in var.freshness_limit_seconds : contains(["primary", "replica", "olap"], copy) && limit > 0])
    error_message = "freshness_limit_seconds must name copies as the metric does (primary, replica, olap), each with seconds above 0."
  }
}
