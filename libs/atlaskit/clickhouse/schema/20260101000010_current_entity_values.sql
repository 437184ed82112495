-- migrate:up
-- The current value of each attribute of each entity of one tenant: the newest by event time among the visible ones.
CREATE VIEW IF NOT EXISTS current_entity_values AS
SELECT
    entity_id,
    attribute_key,
    newest AS event_timestamp,
    latest.1 AS asset_type,
    latest.2 AS attribute_type,
    latest.3 AS attribute_value,
    latest.4 AS source_type,
    latest.5 AS ingestion_timestamp,
    latest.6 AS row_version
FROM (
    SELECT
        entity_id,
        attribute_key,
        max(event_timestamp) AS newest,
        argMax((asset_type, attribute_type, attribute_value, source_type, ingestion_timestamp, row_version), event_timestamp) AS latest
    FROM visible_entity_values(tenant = {tenant:UInt32})
    GROUP BY entity_id, attribute_key
)

-- migrate:down
DROP VIEW IF EXISTS current_entity_values
