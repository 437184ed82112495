-- migrate:up
-- Every value that no delete hides, of several tenants at once; otherwise as visible_entity_values. Only entities with a delete are
-- joined with the deletes: they are few, and the join costs several times what the rest does. An id that has a delete in one of the
-- tenants is joined in all of them. Both halves see the same parts of the table, so that no entity is in both or in none: that is
-- the setting enable_shared_storage_snapshot_in_query, which every read states.
CREATE OR REPLACE VIEW visible_values AS
SELECT
    stored.tenant_id AS tenant_id,
    stored.entity_id AS entity_id,
    stored.attribute_key AS attribute_key,
    stored.attribute_type AS attribute_type,
    stored.value_int64 AS value_int64,
    stored.value_uint64 AS value_uint64,
    stored.value_double AS value_double,
    stored.value_bool AS value_bool,
    stored.value_string AS value_string,
    stored.value_bytes AS value_bytes,
    stored.source_type AS source_type,
    stored.event_timestamp AS event_timestamp
FROM entity_analytics_events AS stored FINAL
WHERE stored.tenant_id IN {tenants:Array(UInt32)} AND stored.deletion = 0
    AND stored.entity_id NOT IN (
        SELECT entity_id FROM entity_analytics_events
        WHERE tenant_id IN {tenants:Array(UInt32)} AND event_timestamp = toDateTime64('1969-12-31 00:00:00', 6, 'UTC') AND deletion IN (2, 3)
    )
UNION ALL
SELECT
    stored.tenant_id AS tenant_id,
    stored.entity_id AS entity_id,
    stored.attribute_key AS attribute_key,
    stored.attribute_type AS attribute_type,
    stored.value_int64 AS value_int64,
    stored.value_uint64 AS value_uint64,
    stored.value_double AS value_double,
    stored.value_bool AS value_bool,
    stored.value_string AS value_string,
    stored.value_bytes AS value_bytes,
    stored.source_type AS source_type,
    stored.event_timestamp AS event_timestamp
FROM entity_analytics_events AS stored FINAL
LEFT JOIN (
    SELECT tenant_id, entity_id, maxMap(map(toString(attribute_key), row_version)) AS hidden_through
    FROM entity_analytics_events
    WHERE tenant_id IN {tenants:Array(UInt32)} AND event_timestamp = toDateTime64('1969-12-31 00:00:00', 6, 'UTC') AND deletion IN (2, 3)
    GROUP BY tenant_id, entity_id
) AS deletes ON deletes.tenant_id = stored.tenant_id AND deletes.entity_id = stored.entity_id
WHERE stored.tenant_id IN {tenants:Array(UInt32)} AND stored.deletion = 0
    AND stored.row_version > greatest(deletes.hidden_through[toString(stored.attribute_key)], deletes.hidden_through[''])
    AND stored.entity_id IN (
        SELECT entity_id FROM entity_analytics_events
        WHERE tenant_id IN {tenants:Array(UInt32)} AND event_timestamp = toDateTime64('1969-12-31 00:00:00', 6, 'UTC') AND deletion IN (2, 3)
    )

-- migrate:down
CREATE OR REPLACE VIEW visible_values AS
SELECT
    stored.tenant_id AS tenant_id,
    stored.entity_id AS entity_id,
    stored.attribute_key AS attribute_key,
    stored.attribute_type AS attribute_type,
    stored.value_int64 AS value_int64,
    stored.value_uint64 AS value_uint64,
    stored.value_double AS value_double,
    stored.value_bool AS value_bool,
    stored.value_string AS value_string,
    stored.value_bytes AS value_bytes,
    stored.source_type AS source_type,
    stored.event_timestamp AS event_timestamp
FROM entity_analytics_events AS stored FINAL
LEFT JOIN (
    SELECT tenant_id, entity_id, maxMap(map(toString(attribute_key), row_version)) AS hidden_through
    FROM entity_analytics_events
    WHERE tenant_id IN {tenants:Array(UInt32)} AND event_timestamp = toDateTime64('1969-12-31 00:00:00', 6, 'UTC') AND deletion IN (2, 3)
    GROUP BY tenant_id, entity_id
) AS deletes ON deletes.tenant_id = stored.tenant_id AND deletes.entity_id = stored.entity_id
WHERE stored.tenant_id IN {tenants:Array(UInt32)} AND stored.deletion = 0
    AND stored.row_version > greatest(deletes.hidden_through[toString(stored.attribute_key)], deletes.hidden_through[''])
