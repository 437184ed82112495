-- migrate:up
-- Every value of one tenant that no delete hides: a deleted observation was replaced by its delete; the delete of an attribute
-- or of an entity hides the smaller row versions. Those stand in a partition of their own, so looking for them costs little.
CREATE VIEW IF NOT EXISTS visible_entity_values AS
WITH deletes AS (
    SELECT entity_id, toString(attribute_key) AS attribute_key, max(row_version) AS hidden_through
    FROM entity_analytics_events
    WHERE tenant_id = {tenant:UInt32} AND event_timestamp = toDateTime64('1969-12-31 00:00:00', 6, 'UTC') AND deletion IN (2, 3)
    GROUP BY entity_id, attribute_key
)
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
FROM (SELECT * FROM entity_analytics_events FINAL WHERE tenant_id = {tenant:UInt32} AND deletion = 0) AS stored
LEFT JOIN deletes AS of_attribute ON of_attribute.entity_id = stored.entity_id AND of_attribute.attribute_key = stored.attribute_key
LEFT JOIN (SELECT entity_id, hidden_through FROM deletes WHERE attribute_key = '') AS of_entity ON of_entity.entity_id = stored.entity_id
WHERE stored.row_version > greatest(ifNull(of_attribute.hidden_through, 0), ifNull(of_entity.hidden_through, 0))

-- migrate:down
DROP VIEW IF EXISTS visible_entity_values
