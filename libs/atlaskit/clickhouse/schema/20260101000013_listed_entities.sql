-- migrate:up
-- The entities of several tenants that are not deleted.
CREATE VIEW IF NOT EXISTS listed_entities AS
SELECT tenant_id, entity_id, entity_key, asset_type, created_at
FROM entities FINAL
WHERE tenant_id IN {tenants:Array(UInt32)} AND NOT deleted

-- migrate:down
DROP VIEW IF EXISTS listed_entities
