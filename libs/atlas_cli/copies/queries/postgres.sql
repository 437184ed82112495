-- name: held_by_postgres
-- Identities of values (not deliveries), entities, tenants and keys of the tenants whose names begin with $1.
WITH chosen AS (SELECT tenant_id FROM tenants WHERE starts_with(name, $1)),
     identities AS (
         SELECT DISTINCT tenant_id, entity_id, attribute_id, event_time
         FROM entity_attributes JOIN chosen USING (tenant_id) WHERE deletion = 0
     )
SELECT (SELECT count(*) FROM identities) AS stored_values,
       (SELECT count(*) FROM entities JOIN chosen USING (tenant_id) WHERE NOT deleted) AS entities,
       (SELECT count(DISTINCT tenant_id) FROM identities) AS tenants,
       (SELECT count(DISTINCT attribute_key) FROM attribute_keys JOIN chosen USING (tenant_id)) AS keys;
-- name: tenants_of_set
-- Ids of the tenants whose names begin with $1.
SELECT tenant_id FROM tenants WHERE starts_with(name, $1) ORDER BY tenant_id;
