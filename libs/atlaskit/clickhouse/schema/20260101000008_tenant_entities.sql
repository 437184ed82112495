-- migrate:up
-- The entities of one tenant, deleted ones too.
CREATE VIEW IF NOT EXISTS tenant_entities AS
SELECT entity_id, shard, entity_key, asset_type, created_at, updated_at, row_version, deleted
FROM entities FINAL
WHERE tenant_id = {tenant:UInt32}

-- migrate:down
DROP VIEW IF EXISTS tenant_entities
