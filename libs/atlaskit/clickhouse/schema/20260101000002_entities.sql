-- migrate:up
-- The metadata of entities, as of their last change.
CREATE TABLE IF NOT EXISTS entities
(
    tenant_id UInt32,
    entity_id UInt64,
    shard UInt8,
    entity_key String COMMENT 'empty for a tenant that numbers its entities',
    asset_type LowCardinality(String) COMMENT 'empty if none',
    created_at DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC'),
    row_version UInt64,
    deleted Bool
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (tenant_id, entity_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0

-- migrate:down
DROP TABLE IF EXISTS entities
