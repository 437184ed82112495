-- migrate:up
CREATE TABLE attribute_key_types (
    tenant_id integer NOT NULL REFERENCES tenants,
    attribute_id integer NOT NULL,
    value_type smallint NOT NULL CHECK (value_type BETWEEN 1 AND 6),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, attribute_id, value_type)
);
COMMENT ON TABLE attribute_key_types IS 'Types that values of an attribute key had, each from its first commit on; more than one is a conflict. Not captured.';
ALTER TABLE attribute_key_types ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON attribute_key_types FOR SELECT TO atlas_reader
    USING (tenant_id = nullif(current_setting('atlas.tenant_id', true), '')::integer);
GRANT SELECT, INSERT ON attribute_key_types TO atlas_ingest;
GRANT SELECT ON attribute_key_types TO atlas_reader;

-- migrate:down
DROP TABLE attribute_key_types;
