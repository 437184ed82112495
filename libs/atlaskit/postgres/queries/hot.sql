-- Statements about promoted attributes: the catalogue, and filling slots from history.

-- name: hot_mappings
-- The mappings of tenants that writes keep.
SELECT mapping_id, tenant_id, asset_type_id, attribute_id, slot, state FROM hot_attribute_slots
WHERE tenant_id = ANY ($1::integer[]) AND state <> 'RETIRED';

-- name: entities_with_history
-- Which of these entities, that were not registered a moment ago, have observations all the same: another transaction
-- registered them meanwhile.
SELECT e.tenant_id, e.entity_id FROM unnest($1::integer[], $2::bigint[]) AS e (tenant_id, entity_id)
WHERE EXISTS (SELECT FROM entity_attributes AS h WHERE h.tenant_id = e.tenant_id AND h.entity_id = e.entity_id);

-- name: hot_tops
-- What the slots of these entities and attributes have to say, from history: the newest row by event time and version, also
-- one that hides or is hidden, and the version of the last delete of the attribute or of the entity. Without either, no row.
SELECT w.tenant_id, w.entity_id, w.attribute_id, (extract(epoch FROM t.event_time) * 1000000)::bigint AS time_us, t.row_version, t.deletion, t.value_type,
    t.value_int, t.value_uint, t.value_double, t.value_bool, t.value_text, f.floor
FROM unnest($1::integer[], $2::bigint[], $3::integer[]) AS w (tenant_id, entity_id, attribute_id)
CROSS JOIN LATERAL (
    SELECT greatest(
        (SELECT max(h.row_version) FROM entity_attributes AS h
        WHERE h.tenant_id = w.tenant_id AND h.entity_id = w.entity_id AND h.attribute_id = w.attribute_id AND h.event_time = '1969-12-31T00:00:00Z'),
        (SELECT max(h.row_version) FROM entity_attributes AS h
        WHERE h.tenant_id = w.tenant_id AND h.entity_id = w.entity_id AND h.attribute_id = 0 AND h.event_time = '1969-12-31T00:00:00Z')
    ) AS floor
) AS f
LEFT JOIN LATERAL (
    SELECT h.event_time, h.row_version, h.deletion, h.value_type, h.value_int, h.value_uint, h.value_double, h.value_bool,
        CASE WHEN octet_length(h.value_text) <= 512 THEN h.value_text END AS value_text
    FROM entity_attributes AS h
    WHERE h.tenant_id = w.tenant_id AND h.entity_id = w.entity_id AND h.attribute_id = w.attribute_id
        AND h.event_time > '1969-12-31T00:00:00Z'
    ORDER BY h.event_time DESC, h.row_version DESC LIMIT 1
) AS t ON true
WHERE t.row_version IS NOT NULL OR f.floor IS NOT NULL;

-- name: lock_hot_backfill
-- The progress of a mapping that is being backfilled, locked; no row if another process has it, or it is in another state.
SELECT m.tenant_id, m.asset_type_id, m.attribute_id, m.slot, m.state, b.after_entity_id, b.entities_done, b.entities_total
FROM hot_attribute_backfills AS b JOIN hot_attribute_slots AS m USING (mapping_id)
WHERE b.mapping_id = $1 AND m.state = 'BACKFILLING' FOR UPDATE OF b SKIP LOCKED;

-- name: count_hot_entities
SELECT count(*) FROM entities WHERE tenant_id = $1 AND asset_type_id IS NOT DISTINCT FROM nullif($2::integer, 0);

-- name: hot_entities
-- The next entities of an asset type by id, deleted ones too: a late write must find what hides it.
SELECT entity_id, shard FROM entities
WHERE tenant_id = $1 AND asset_type_id IS NOT DISTINCT FROM nullif($2::integer, 0) AND entity_id > $3
ORDER BY entity_id LIMIT $4;

-- name: note_hot_progress
UPDATE hot_attribute_backfills SET after_entity_id = $2, entities_done = entities_done + $3, entities_total = coalesce($4, entities_total), updated_at = now()
WHERE mapping_id = $1;

-- name: mark_hot_ready
UPDATE hot_attribute_slots SET state = 'READY', ready_at = now() WHERE mapping_id = $1 AND state = 'BACKFILLING' RETURNING mapping_id;

-- name: hot_backfills_left
SELECT mapping_id, tenant_id, asset_type_id, attribute_id, slot, state FROM hot_attribute_slots WHERE state = 'BACKFILLING' ORDER BY mapping_id;

-- name: writes_under_way
-- The transactions that hold the lock of a slot of tenants now. Whoever takes it later sees the catalogue as it is now.
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objsubid = 1 AND granted
    AND (classid::bigint << 32) | objid::bigint = hashtextextended('atlas.entities', $1::integer);

-- name: lock_hot_catalogue
-- Promotions of a tenant, one after another. Not the lock of its writes.
SELECT pg_advisory_xact_lock(hashtextextended('atlas.hot_attributes', $1::integer));

-- name: hot_names
-- The ids of an asset type (0 for the empty text) and of an attribute key, and the types that its values had. NULL: unknown.
SELECT
    CASE WHEN $2::text = '' THEN 0 ELSE (SELECT asset_type_id FROM asset_types WHERE tenant_id = $1 AND asset_type = $2) END AS asset_type_id,
    k.attribute_id,
    ARRAY(SELECT value_type FROM attribute_key_types AS t WHERE t.tenant_id = $1 AND t.attribute_id = k.attribute_id ORDER BY value_type) AS kinds
FROM (SELECT) AS one_row LEFT JOIN attribute_keys AS k ON k.tenant_id = $1 AND k.attribute_key = $3;

-- name: insert_hot_mapping
INSERT INTO hot_attribute_slots (tenant_id, asset_type_id, attribute_id, slot) VALUES ($1, $2, $3, $4) RETURNING mapping_id;

-- name: begin_hot_backfill
INSERT INTO hot_attribute_backfills (mapping_id) VALUES ($1);

-- name: retire_hot_mapping
UPDATE hot_attribute_slots SET state = 'RETIRED', retired_at = now() WHERE mapping_id = $1 AND state <> 'RETIRED' RETURNING mapping_id;

-- name: hot_attributes
-- The mappings of a tenant above an id, with their names and progress.
SELECT m.mapping_id, m.tenant_id, m.asset_type_id, m.attribute_id, m.slot, m.state, m.created_at, m.ready_at, m.retired_at,
    coalesce(t.asset_type, '') AS asset_type, k.attribute_key, b.entities_done, b.entities_total
FROM hot_attribute_slots AS m
JOIN attribute_keys AS k ON k.tenant_id = m.tenant_id AND k.attribute_id = m.attribute_id
JOIN hot_attribute_backfills AS b USING (mapping_id)
LEFT JOIN asset_types AS t ON t.tenant_id = m.tenant_id AND t.asset_type_id = m.asset_type_id
WHERE m.tenant_id = $1 AND m.mapping_id > $2 AND ($3 OR m.state <> 'RETIRED')
ORDER BY m.mapping_id LIMIT $4;
