"""ClickHouse: its schema, and the only code that speaks to it. clickhouse-connect stays inside this package."""
