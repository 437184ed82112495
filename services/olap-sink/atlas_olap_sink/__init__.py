"""The sink: change events in, rows in ClickHouse out, and a watermark that says what can be read there."""
