-- name: held_by_postgres
-- Identities of values (not deliveries), times at which an entity was observed, entities, tenants and keys of the tenants whose names begin with $1.
WITH chosen AS (SELECT tenant_id FROM tenants WHERE starts_with(name, $1)),
     identities AS (
         SELECT DISTINCT tenant_id, entity_id, attribute_id, event_time
         FROM entity_attributes JOIN chosen USING (tenant_id) WHERE deletion = 0
     )
SELECT (SELECT count(*) FROM identities) AS stored_values,
       (SELECT count(*) FROM (SELECT DISTINCT tenant_id, entity_id, event_time FROM identities) AS observed) AS observations,
       (SELECT count(*) FROM entities JOIN chosen USING (tenant_id) WHERE NOT deleted) AS entities,
       (SELECT count(DISTINCT tenant_id) FROM identities) AS tenants,
       (SELECT count(DISTINCT attribute_key) FROM attribute_keys JOIN chosen USING (tenant_id)) AS keys;
-- name: corrected_in_postgres
-- Times at which an entity was observed, of which a value changed from one delivery to another.
WITH chosen AS (SELECT tenant_id FROM tenants WHERE starts_with(name, $1)),
     changed AS (
         SELECT tenant_id, entity_id, event_time FROM entity_attributes JOIN chosen USING (tenant_id) WHERE deletion = 0
         GROUP BY tenant_id, entity_id, event_time, attribute_id
         HAVING count(DISTINCT (value_type, value_int, value_uint, value_double, value_bool, value_text, value_bytes)) > 1
     )
SELECT count(DISTINCT (tenant_id, entity_id, event_time)) FROM changed;

-- name: tenants_of_set
-- Ids of the tenants whose names begin with $1.
SELECT tenant_id FROM tenants WHERE starts_with(name, $1) ORDER BY tenant_id;
