-- Grants to read several tenants in one question.

-- name: granted_tenants
-- Of the tenants asked about those that a caller may read, and NULL if it may read all.
SELECT tenant_id FROM tenant_grants
WHERE caller = $1 AND revoked_at IS NULL AND (tenant_id IS NULL OR tenant_id = ANY ($2::integer[]));

-- name: add_grant
-- Returns nothing when the grant is in force already.
INSERT INTO tenant_grants (caller, tenant_id, granted_by) VALUES ($1, $2, $3)
ON CONFLICT (caller, tenant_id) WHERE revoked_at IS NULL DO NOTHING
RETURNING grant_id;

-- name: revoke_grant
UPDATE tenant_grants SET revoked_at = now(), revoked_by = $3
WHERE caller = $1 AND tenant_id IS NOT DISTINCT FROM $2 AND revoked_at IS NULL
RETURNING grant_id;

-- name: list_grants
SELECT caller, tenant_id, granted_at, granted_by, revoked_at, revoked_by FROM tenant_grants
WHERE ($1::text IS NULL OR caller = $1) ORDER BY grant_id DESC LIMIT $2;
