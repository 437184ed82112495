-- migrate:up
-- The dictionary of asset types; ids are those of PostgreSQL.
CREATE TABLE IF NOT EXISTS asset_types
(
    tenant_id UInt32,
    asset_type_id UInt32,
    asset_type String,
    row_version UInt64
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (tenant_id, asset_type_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0

-- migrate:down
DROP TABLE IF EXISTS asset_types
