-- Statements about tenants.

-- name: find_tenant
SELECT tenant_id, name, identity, spread, key_quota, entity_hash_key, created_at FROM tenants WHERE tenant_id = $1;

-- name: find_tenant_by_name
SELECT tenant_id, name, identity, spread, key_quota, entity_hash_key, created_at FROM tenants WHERE name = $1;

-- name: insert_tenant
-- Returns nothing when the name is taken.
INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO NOTHING
RETURNING tenant_id, name, identity, spread, key_quota, entity_hash_key, created_at;

-- name: list_tenants
SELECT tenant_id, name, identity, spread, key_quota, entity_hash_key, created_at FROM tenants
WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2;
