-- Statements of the dictionaries. An id is committed before any row that uses it.

-- name: find_attribute_keys
SELECT attribute_key AS text, attribute_id AS id FROM attribute_keys WHERE tenant_id = $1 AND attribute_key = ANY ($2::text[]);

-- name: find_asset_types
SELECT asset_type AS text, asset_type_id AS id FROM asset_types WHERE tenant_id = $1 AND asset_type = ANY ($2::text[]);

-- name: find_source_types
SELECT source_type AS text, source_type_id AS id FROM source_types WHERE source_type = ANY ($1::text[]);

-- name: lock_dictionary
-- One writer at a time adds to a tenant's dictionaries: the quota is exact, and ids of a tenant rise in order of commit.
SELECT pg_advisory_xact_lock(hashtextextended('atlas.dictionary', $1::integer));

-- name: count_attribute_keys
-- Since ids rise, what was counted up to an id stays counted.
SELECT count(*) AS added, coalesce(max(attribute_id), $2) AS last_id FROM attribute_keys WHERE tenant_id = $1 AND attribute_id > $2;

-- name: key_quota
SELECT key_quota FROM tenants WHERE tenant_id = $1;

-- name: insert_attribute_keys
INSERT INTO attribute_keys (tenant_id, attribute_key, row_version)
SELECT $1, text, version FROM unnest($2::text[], $3::bigint[]) AS added (text, version)
RETURNING attribute_key AS text, attribute_id AS id, row_version;

-- name: insert_asset_types
INSERT INTO asset_types (tenant_id, asset_type, row_version)
SELECT $1, text, version FROM unnest($2::text[], $3::bigint[]) AS added (text, version)
RETURNING asset_type AS text, asset_type_id AS id, row_version;

-- name: insert_source_types
-- Not captured. The texts come sorted, so that two writers wait for each other and never both.
INSERT INTO source_types (source_type) SELECT unnest($1::text[]) ON CONFLICT (source_type) DO NOTHING;

-- name: insert_key_types
-- Not captured. Sorted, so that two writers wait for each other and never both.
INSERT INTO attribute_key_types (tenant_id, attribute_id, value_type)
SELECT * FROM unnest($1::integer[], $2::integer[], $3::smallint[]) ON CONFLICT (tenant_id, attribute_id, value_type) DO NOTHING;
