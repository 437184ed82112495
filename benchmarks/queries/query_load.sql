-- What `make bench-query` puts into ClickHouse: the rows of the primary, read from it.

-- name: bench_events
INSERT INTO entity_analytics_events (
    tenant_id, entity_id, shard, asset_type, attribute_key, attribute_type, value_int64, value_bool, value_string,
    source_type, event_timestamp, ingestion_timestamp, row_version, deletion
)
SELECT
    h.tenant_id, h.entity_id, h.shard, '', k.attribute_key, h.value_type, coalesce(h.value_int, 0), coalesce(h.value_bool, 0),
    coalesce(h.value_text, ''), '', h.event_time, h.created_at, h.row_version, h.deletion
FROM postgresql({address:String}, {database:String}, 'entity_attributes', {user:String}, {password:String}) AS h
INNER JOIN postgresql({address:String}, {database:String}, 'attribute_keys', {user:String}, {password:String}) AS k
    ON k.attribute_id = h.attribute_id;

-- name: bench_listed
INSERT INTO entities (tenant_id, entity_id, shard, entity_key, asset_type, created_at, updated_at, row_version, deleted)
SELECT e.tenant_id, e.entity_id, e.shard, '', t.asset_type, e.created_at, e.updated_at, e.row_version, e.deleted
FROM postgresql({address:String}, {database:String}, 'entities', {user:String}, {password:String}) AS e
INNER JOIN postgresql({address:String}, {database:String}, 'asset_types', {user:String}, {password:String}) AS t
    ON t.asset_type_id = assumeNotNull(e.asset_type_id);

-- name: bench_dictionary
INSERT INTO attribute_keys (tenant_id, attribute_id, attribute_key, row_version)
SELECT tenant_id, attribute_id, attribute_key, row_version
FROM postgresql({address:String}, {database:String}, 'attribute_keys', {user:String}, {password:String});

-- name: bench_types
INSERT INTO asset_types (tenant_id, asset_type_id, asset_type, row_version)
SELECT tenant_id, asset_type_id, asset_type, row_version
FROM postgresql({address:String}, {database:String}, 'asset_types', {user:String}, {password:String});

-- name: bench_transactions
-- The numbers of transactions that the loaded row versions look like are not given again.
SELECT setval('ingest_transaction', $1);

-- name: bench_held
SELECT count(*) FROM entity_attributes WHERE tenant_id = $1;

-- name: bench_loaded
SELECT tenant_id FROM tenants WHERE name = 'bench-hot';

-- name: bench_place
SELECT asset_type_id FROM asset_types WHERE tenant_id = $1;

-- name: bench_place_keys
SELECT attribute_key, attribute_id FROM attribute_keys WHERE tenant_id = $1;

-- name: bench_documents_read
GRANT SELECT ON documents TO atlas_reader;

-- name: bench_replayed
SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn;
