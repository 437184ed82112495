-- What `make bench-hot` loads beside the history.

-- name: bench_tenant
INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key) VALUES ('bench-hot', 'numbered', $1, 1000, decode(repeat('00', 16), 'hex'))
RETURNING tenant_id;

-- name: bench_keys
INSERT INTO attribute_keys (tenant_id, attribute_key, row_version)
SELECT $1, key, 36028797018963968 + place FROM unnest($2::text[]) WITH ORDINALITY AS keys (key, place)
RETURNING attribute_id, attribute_key;

-- name: bench_asset_type
INSERT INTO asset_types (tenant_id, asset_type, row_version) VALUES ($1, $2, 36028797018963967) RETURNING asset_type_id;

-- name: bench_entities
INSERT INTO entities (tenant_id, entity_id, shard, asset_type_id, row_version)
SELECT tenant_id, entity_id, shard, $2, row_version FROM entity_hot_attributes WHERE tenant_id = $1 ORDER BY entity_id;

-- name: bench_slots
-- All observations of the last day are current.
INSERT INTO entity_hot_attributes (tenant_id, entity_id, shard, row_version, change, :columns)
SELECT tenant_id, entity_id, min(shard), max(row_version), 1, :values
FROM entity_attributes WHERE tenant_id = :tenant AND event_time = date_trunc('day', now(), 'UTC')
GROUP BY tenant_id, entity_id ORDER BY entity_id;

-- name: bench_mappings
INSERT INTO hot_attribute_slots (mapping_id, tenant_id, asset_type_id, attribute_id, slot, state) OVERRIDING SYSTEM VALUE
SELECT attribute_id, $1, $2, attribute_id, slot, 'READY' FROM unnest($3::integer[], $4::text[]) AS mapping (attribute_id, slot);

-- name: bench_documents_table
CREATE TABLE documents (tenant_id integer NOT NULL, entity_id bigint NOT NULL, document jsonb NOT NULL, PRIMARY KEY (tenant_id, entity_id));

-- name: bench_documents
INSERT INTO documents SELECT tenant_id, entity_id, jsonb_build_object(:pairs) FROM entity_hot_attributes WHERE tenant_id = :tenant ORDER BY entity_id;

-- name: bench_documents_index
CREATE INDEX documents_gin ON documents USING gin (document jsonb_path_ops);

-- name: bench_values_int
CREATE INDEX values_int ON entity_attributes (tenant_id, attribute_id, value_int) WHERE value_int IS NOT NULL;

-- name: bench_values_text
CREATE INDEX values_text ON entity_attributes (tenant_id, attribute_id, value_text) WHERE value_text IS NOT NULL;

-- name: bench_values_bool
CREATE INDEX values_bool ON entity_attributes (tenant_id, attribute_id, value_bool) WHERE value_bool IS NOT NULL;

-- name: bench_values_covering
CREATE INDEX values_covering ON entity_attributes (tenant_id, attribute_id, value_int) INCLUDE (entity_id, event_time, row_version) WHERE value_int IS NOT NULL;

-- name: bench_values_brin
CREATE INDEX values_brin ON entity_attributes USING brin (value_int);

-- name: bench_reader
SET atlas.tenant_id = ':tenant';
