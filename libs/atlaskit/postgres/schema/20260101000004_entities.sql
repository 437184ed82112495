-- migrate:up
CREATE TABLE entities (
    tenant_id integer NOT NULL,
    entity_id bigint NOT NULL CHECK (entity_id >= 0),
    shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 9),
    entity_key text CHECK (octet_length(entity_key) BETWEEN 1 AND 512),
    asset_type_id integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    row_version bigint NOT NULL CHECK (row_version > 0),
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, entity_id, shard)
) PARTITION BY HASH (tenant_id);
COMMENT ON TABLE entities IS 'One row an entity, written only when its metadata change, never per value.';
CREATE TRIGGER versioned BEFORE UPDATE ON entities FOR EACH ROW EXECUTE FUNCTION demand_greater_version();
CREATE TRIGGER no_delete BEFORE DELETE ON entities FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE entity_hot_attributes (
    tenant_id integer NOT NULL,
    entity_id bigint NOT NULL CHECK (entity_id >= 0),
    shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 9),
    row_version bigint NOT NULL CHECK (row_version > 0),
    change bigint NOT NULL CHECK (change > 0),
    PRIMARY KEY (tenant_id, entity_id, shard)
) PARTITION BY HASH (tenant_id);
COMMENT ON TABLE entity_hot_attributes IS 'Current values of promoted attributes in typed slots; `change` orders the versions of a row.';

-- Six slots of each kind. A slot holds a value only under the mapping that it names.
DO $$
DECLARE
    kind text[];
    number integer;
BEGIN
    FOREACH kind SLICE 1 IN ARRAY ARRAY[['int', 'bigint'], ['uint', 'numeric(20, 0)'], ['double', 'double precision'], ['bool', 'boolean'], ['text', 'text']] LOOP
        FOR number IN 1..6 LOOP
            EXECUTE format('ALTER TABLE entity_hot_attributes ADD COLUMN %1$s_%2$s %3$s, ADD COLUMN %1$s_%2$s_mapping integer, '
                'ADD COLUMN %1$s_%2$s_time timestamptz, ADD COLUMN %1$s_%2$s_version bigint, ADD COLUMN %1$s_%2$s_deleted boolean',
                kind[1], number, kind[2]);
        END LOOP;
    END LOOP;
END
$$;

CREATE FUNCTION demand_next_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := to_jsonb(OLD);
    after jsonb := to_jsonb(NEW);
    slot text;
    rises boolean := false;
BEGIN
    IF NEW.change <> OLD.change + 1 THEN
        RAISE EXCEPTION 'an update of % must raise change by one', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    FOR slot IN SELECT key FROM jsonb_each(after) WHERE key LIKE '%\_version' AND key <> 'row_version' LOOP
        IF (before ->> slot)::bigint > coalesce((after ->> slot)::bigint, 0) AND
           (before ->> replace(slot, '_version', '_mapping')) IS NOT DISTINCT FROM (after ->> replace(slot, '_version', '_mapping')) AND
           (before ->> replace(slot, '_version', '_time')) IS NOT DISTINCT FROM (after ->> replace(slot, '_version', '_time')) THEN
            RAISE EXCEPTION 'an update of % must not lower %', TG_TABLE_NAME, slot USING ERRCODE = 'restrict_violation';
        END IF;
        rises := rises OR (before ->> slot) IS DISTINCT FROM (after ->> slot);
    END LOOP;
    IF NOT rises THEN
        RAISE EXCEPTION 'an update of % must raise a slot', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER versioned BEFORE UPDATE ON entity_hot_attributes FOR EACH ROW EXECUTE FUNCTION demand_next_change();
CREATE TRIGGER no_delete BEFORE DELETE ON entity_hot_attributes FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE hot_attribute_slots (
    mapping_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer NOT NULL REFERENCES tenants,
    asset_type_id integer NOT NULL,
    attribute_id integer NOT NULL,
    slot text NOT NULL CHECK (slot ~ '^(int|uint|double|bool|text)_[1-6]$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, asset_type_id, attribute_id),
    UNIQUE (tenant_id, asset_type_id, slot)
);
COMMENT ON TABLE hot_attribute_slots IS 'Which attribute of a tenant and asset type a slot holds.';

-- REPLICA IDENTITY FULL: an unchanged value that is stored out of line arrives whole.
DO $$
DECLARE
    parent text;
    leaf text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_hot_attributes'] LOOP
        FOR number IN 0..9 LOOP
            leaf := format('%s_h%s', parent, number);
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 10, REMAINDER %s)', leaf, parent, number);
            EXECUTE format('ALTER TABLE %I REPLICA IDENTITY FULL', leaf);
            PERFORM guard_against_truncate(leaf::regclass);
        END LOOP;
        PERFORM guard_against_truncate(parent::regclass);
    END LOOP;
END
$$;

-- migrate:down
DROP TABLE hot_attribute_slots, entity_hot_attributes, entities;
DROP FUNCTION demand_next_change;
