-- migrate:up
CREATE TABLE tenants (
    tenant_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (octet_length(name) BETWEEN 1 AND 128),
    identity text NOT NULL CHECK (identity IN ('keyed', 'numbered')),
    spread smallint NOT NULL CHECK (spread IN (1, 2, 5, 10)),
    key_quota integer NOT NULL CHECK (key_quota BETWEEN 1 AND 10000000),
    -- Secret of the keyed hash that turns an entity key into its number.
    entity_hash_key bytea NOT NULL CHECK (octet_length(entity_hash_key) = 16),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenants IS 'Registered tenants. Not captured: no copy needs them.';

-- A row of a dictionary is never changed, and is committed before any row that uses its id.
CREATE TABLE attribute_keys (
    tenant_id integer NOT NULL REFERENCES tenants,
    attribute_id integer GENERATED ALWAYS AS IDENTITY,
    attribute_key text NOT NULL CHECK (octet_length(attribute_key) BETWEEN 1 AND 512),
    shard smallint NOT NULL DEFAULT 0 CHECK (shard = 0),
    row_version bigint NOT NULL CHECK (row_version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, attribute_id),
    UNIQUE (tenant_id, attribute_key)
);
COMMENT ON TABLE attribute_keys IS 'Attribute keys by tenant; id 0 is never given and stands for all attributes in a delete of an entity.';

CREATE TABLE asset_types (
    tenant_id integer NOT NULL REFERENCES tenants,
    asset_type_id integer GENERATED ALWAYS AS IDENTITY,
    asset_type text NOT NULL CHECK (octet_length(asset_type) BETWEEN 1 AND 128),
    shard smallint NOT NULL DEFAULT 0 CHECK (shard = 0),
    row_version bigint NOT NULL CHECK (row_version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, asset_type_id),
    UNIQUE (tenant_id, asset_type)
);
COMMENT ON TABLE asset_types IS 'Types of entities, by tenant.';

CREATE TABLE source_types (
    source_type_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_type text NOT NULL UNIQUE CHECK (octet_length(source_type) BETWEEN 1 AND 64)
);
COMMENT ON TABLE source_types IS 'Types as sources name them. Not captured: the sink asks the primary for an id it has not met.';

-- migrate:down
DROP TABLE source_types, asset_types, attribute_keys, tenants;
