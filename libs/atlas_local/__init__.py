"""The embedded stack: PostgreSQL with a replica, Kafka, Connect with Debezium and the ClickHouse engine on one machine."""
