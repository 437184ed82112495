-- migrate:up
CREATE TABLE entity_attributes (
    tenant_id integer NOT NULL,
    entity_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 9),
    value_type smallint NOT NULL CHECK (value_type BETWEEN 0 AND 6),
    deletion smallint NOT NULL DEFAULT 0 CHECK (deletion BETWEEN 0 AND 3),
    -- A delete of an attribute or an entity stands at 1969-12-31T00:00:00Z, where no value can be.
    event_time timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    row_version bigint NOT NULL CHECK (row_version > 0),
    asset_type_id integer,
    source_type_id integer,
    value_int bigint,
    value_uint numeric(20, 0),
    value_double double precision,
    value_bool boolean,
    value_text text,
    value_bytes bytea,
    CONSTRAINT one_value CHECK (
        CASE WHEN deletion <> 0 THEN value_type = 0 ELSE
            CASE value_type
                WHEN 1 THEN value_int IS NOT NULL
                WHEN 2 THEN value_uint BETWEEN 0 AND 18446744073709551615
                WHEN 3 THEN value_double IS NOT NULL
                WHEN 4 THEN value_bool IS NOT NULL
                WHEN 5 THEN value_text IS NOT NULL
                WHEN 6 THEN value_bytes IS NOT NULL
                ELSE false
            END
        END
    ),
    -- Also the index of every read of current values and of history: the newest delivery is found backwards.
    PRIMARY KEY (tenant_id, entity_id, attribute_id, event_time, row_version, created_at)
) PARTITION BY HASH (tenant_id);
COMMENT ON TABLE entity_attributes IS 'Every observation, append-only; a correction or a delete is a new row with a greater row_version.';
-- Repair reads rows by transaction, which is a range of row versions.
CREATE INDEX entity_attributes_row_version ON entity_attributes USING brin (row_version);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON entity_attributes FOR EACH ROW EXECUTE FUNCTION refuse_change();

DO $$
BEGIN
    FOR number IN 0..9 LOOP
        EXECUTE format('CREATE TABLE entity_attributes_h%s PARTITION OF entity_attributes FOR VALUES WITH (MODULUS 10, REMAINDER %s) '
            'PARTITION BY RANGE (created_at)', number, number);
        PERFORM guard_against_truncate(format('entity_attributes_h%s', number)::regclass);
    END LOOP;
    PERFORM guard_against_truncate('entity_attributes');
END
$$;

-- migrate:down
DROP TABLE entity_attributes;
