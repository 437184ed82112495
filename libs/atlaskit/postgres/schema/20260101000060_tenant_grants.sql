-- migrate:up
CREATE TABLE tenant_grants (
    grant_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What a call states as x-atlas-caller.
    caller text NOT NULL CHECK (caller ~ '^[!-~]{1,64}$'),
    -- NULL: every tenant, also those registered later.
    tenant_id integer REFERENCES tenants,
    granted_at timestamptz NOT NULL DEFAULT now(),
    granted_by text NOT NULL CHECK (octet_length(granted_by) BETWEEN 1 AND 128),
    revoked_at timestamptz,
    revoked_by text CHECK (octet_length(revoked_by) BETWEEN 1 AND 128),
    CONSTRAINT revoked_by_somebody CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE UNIQUE INDEX tenant_grants_in_force ON tenant_grants (caller, tenant_id) NULLS NOT DISTINCT WHERE revoked_at IS NULL;
COMMENT ON TABLE tenant_grants IS 'Who may read several tenants in one question. Written by the owner of the database alone; a revoked grant stays as a record. Not captured.';
GRANT SELECT ON tenant_grants TO atlas_reader;

-- migrate:down
DROP TABLE tenant_grants;
