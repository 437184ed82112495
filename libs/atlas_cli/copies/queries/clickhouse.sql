-- name: held_by_clickhouse
-- The same of ClickHouse, where a row knows its tenant by number only.
SELECT count() AS stored_values, uniqExact(tenant_id, entity_id, event_timestamp) AS observations,
       uniqExact(tenant_id, entity_id) AS entities, uniqExact(tenant_id) AS tenants,
       uniqExact(attribute_key) AS keys
FROM entity_analytics_events FINAL
WHERE tenant_id IN {tenants:Array(UInt32)} AND deletion = 0
