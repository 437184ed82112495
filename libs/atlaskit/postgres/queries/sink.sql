-- Statements of the sink: the texts of ids that its cache does not know, and the source of an epoch.

-- name: attribute_keys_by_id
SELECT tenant_id, attribute_id AS term_id, attribute_key AS text FROM attribute_keys
WHERE (tenant_id, attribute_id) IN (SELECT * FROM unnest($1::integer[], $2::integer[]));

-- name: asset_types_by_id
SELECT tenant_id, asset_type_id AS term_id, asset_type AS text FROM asset_types
WHERE (tenant_id, asset_type_id) IN (SELECT * FROM unnest($1::integer[], $2::integer[]));

-- name: source_types_by_id
-- All tenants share them; the tenant of each is told as 0.
SELECT 0 AS tenant_id, source_type_id AS term_id, source_type AS text FROM source_types WHERE source_type_id = ANY ($2::integer[]) AND $1::integer[] IS NOT NULL;

-- name: source_of_epoch
SELECT system_identifier, timeline FROM epochs WHERE epoch = $1;
