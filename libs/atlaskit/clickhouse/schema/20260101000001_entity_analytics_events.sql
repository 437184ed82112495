-- migrate:up
-- History. A row with the greatest row_version replaces the others of its identity (tenant, entity, attribute, event time).
-- The partition is a function of that identity, so FINAL within one partition is exact.
CREATE TABLE IF NOT EXISTS entity_analytics_events
(
    tenant_id UInt32,
    entity_id UInt64,
    shard UInt8,
    asset_type LowCardinality(String) COMMENT 'as of the write; empty if none',
    attribute_key LowCardinality(String) COMMENT 'empty in the delete of an entity',
    attribute_type Enum8('NONE' = 0, 'INT64' = 1, 'UINT64' = 2, 'DOUBLE' = 3, 'BOOL' = 4, 'STRING' = 5, 'BYTES' = 6)
        COMMENT 'tells which value column holds the value; NONE in a delete',
    value_int64 Int64,
    value_uint64 UInt64,
    value_double Float64,
    value_bool Bool,
    value_string String,
    value_bytes String,
    attribute_value String DEFAULT multiIf(
        attribute_type = 'INT64', toString(value_int64),
        attribute_type = 'UINT64', toString(value_uint64),
        attribute_type = 'DOUBLE', toString(value_double),
        attribute_type = 'BOOL', toString(value_bool),
        attribute_type = 'STRING', value_string,
        base64Encode(value_bytes)) COMMENT 'the value as text; BYTES in base64',
    source_type LowCardinality(String) COMMENT 'the type as its source names it; empty if none',
    event_timestamp DateTime64(6, 'UTC') COMMENT 'a delete of an attribute or an entity stands at 1969-12-31, where no value can be',
    ingestion_timestamp DateTime64(6, 'UTC') COMMENT 'created_at of PostgreSQL',
    row_version UInt64,
    deletion UInt8 COMMENT '0 a value; 1 this observation, 2 this attribute, 3 this entity is deleted'
)
ENGINE = ReplacingMergeTree(row_version)
PARTITION BY toYYYYMM(event_timestamp)
ORDER BY (tenant_id, entity_id, attribute_key, event_timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0

-- migrate:down
DROP TABLE IF EXISTS entity_analytics_events
