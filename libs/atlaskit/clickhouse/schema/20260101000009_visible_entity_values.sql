-- migrate:up
-- Every value of one tenant that no delete hides: a deleted observation was replaced by its delete; the delete of an attribute
-- or of an entity (under the empty key) hides the smaller row versions. Those stand in a partition of their own, so looking for
-- them costs little; one join only, since planning is most of the time of a small read.
CREATE VIEW IF NOT EXISTS visible_entity_values AS
SELECT
    stored.entity_id AS entity_id,
    stored.asset_type AS asset_type,
    stored.attribute_key AS attribute_key,
    stored.attribute_type AS attribute_type,
    stored.value_int64 AS value_int64,
    stored.value_uint64 AS value_uint64,
    stored.value_double AS value_double,
    stored.value_bool AS value_bool,
    stored.value_string AS value_string,
    stored.value_bytes AS value_bytes,
    stored.attribute_value AS attribute_value,
    stored.source_type AS source_type,
    stored.event_timestamp AS event_timestamp,
    stored.ingestion_timestamp AS ingestion_timestamp,
    stored.row_version AS row_version
FROM entity_analytics_events AS stored FINAL
LEFT JOIN (
    SELECT entity_id, maxMap(map(toString(attribute_key), row_version)) AS hidden_through
    FROM entity_analytics_events
    WHERE tenant_id = {tenant:UInt32} AND event_timestamp = toDateTime64('1969-12-31 00:00:00', 6, 'UTC') AND deletion IN (2, 3)
    GROUP BY entity_id
) AS deletes ON deletes.entity_id = stored.entity_id
WHERE stored.tenant_id = {tenant:UInt32} AND stored.deletion = 0
    AND stored.row_version > greatest(deletes.hidden_through[toString(stored.attribute_key)], deletes.hidden_through[''])

-- migrate:down
DROP VIEW IF EXISTS visible_entity_values
