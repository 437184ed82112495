-- migrate:up
-- Current rows as they came, kept for the audit and ordered by `change`; nothing here decodes their slots.
CREATE TABLE IF NOT EXISTS entity_hot_attributes
(
    tenant_id UInt32,
    entity_id UInt64,
    shard UInt8,
    row_version UInt64 COMMENT 'of the transaction that changed the row last; it may fall, `change` never does',
    change UInt64,
    payload String COMMENT 'the row as JSON'
)
ENGINE = ReplacingMergeTree(change)
ORDER BY (tenant_id, entity_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0

-- migrate:down
DROP TABLE IF EXISTS entity_hot_attributes
