-- migrate:up
-- The dictionary of attribute keys; ids are those of PostgreSQL.
CREATE TABLE IF NOT EXISTS attribute_keys
(
    tenant_id UInt32,
    attribute_id UInt32,
    attribute_key String,
    row_version UInt64
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (tenant_id, attribute_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0

-- migrate:down
DROP TABLE IF EXISTS attribute_keys
