-- Statements of the sink.

-- name: marked_places
-- Tables and shards that a watermark was ever published for, under whatever incarnation.
SELECT DISTINCT toString(table_name), shard FROM olap_watermarks;

-- name: places_holding
SELECT DISTINCT 'entity_attributes', shard FROM entity_analytics_events WHERE bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)}
UNION ALL SELECT DISTINCT 'entities', shard FROM entities WHERE bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)}
UNION ALL SELECT DISTINCT 'entity_hot_attributes', shard FROM entity_hot_attributes
    WHERE bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)}
UNION ALL SELECT DISTINCT 'attribute_keys', toUInt8(0) FROM attribute_keys
    WHERE bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)}
UNION ALL SELECT DISTINCT 'asset_types', toUInt8(0) FROM asset_types
    WHERE bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)};

-- name: identities_of
-- A row version begins with epoch and transaction number; its last 17 bits are the row's index.
SELECT DISTINCT tenant_id, entity_id, toString(attribute_key), toUnixTimestamp64Micro(event_timestamp)
FROM entity_analytics_events
WHERE shard = {shard:UInt8} AND bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)};

-- name: purge_history
-- Synchronous: once it returns no read sees the rows.
ALTER TABLE entity_analytics_events DELETE
WHERE shard = {shard:UInt8} AND bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)} SETTINGS mutations_sync = 2;

-- name: purge_entities
ALTER TABLE entities DELETE
WHERE shard = {shard:UInt8} AND bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)} SETTINGS mutations_sync = 2;

-- name: purge_hot_attributes
ALTER TABLE entity_hot_attributes DELETE
WHERE shard = {shard:UInt8} AND bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)} SETTINGS mutations_sync = 2;

-- name: purge_attribute_keys
ALTER TABLE attribute_keys DELETE WHERE bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)} SETTINGS mutations_sync = 2;

-- name: purge_asset_types
ALTER TABLE asset_types DELETE WHERE bitShiftRight(row_version, 17) IN {transactions:Array(UInt64)} SETTINGS mutations_sync = 2;
