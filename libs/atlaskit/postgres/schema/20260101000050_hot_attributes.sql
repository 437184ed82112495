-- migrate:up
-- A mapping lives once: BACKFILLING from its promotion on (every write keeps its slot), READY once the slots of all entities are
-- filled (readers may use it), RETIRED for ever. Its slot may then be given to another.
ALTER TABLE hot_attribute_slots
    ADD COLUMN state text NOT NULL DEFAULT 'BACKFILLING' CHECK (state IN ('BACKFILLING', 'READY', 'RETIRED')),
    ADD COLUMN ready_at timestamptz,
    ADD COLUMN retired_at timestamptz,
    -- squawk-ignore ban-drop-constraint -- the two indexes below take their place; nothing has written this table yet
    DROP CONSTRAINT hot_attribute_slots_tenant_id_asset_type_id_attribute_id_key,
    -- squawk-ignore ban-drop-constraint -- as above
    DROP CONSTRAINT hot_attribute_slots_tenant_id_asset_type_id_slot_key;
COMMENT ON COLUMN hot_attribute_slots.asset_type_id IS '0: entities without an asset type.';
-- squawk-ignore require-concurrent-index-creation -- nothing has written this table yet
CREATE UNIQUE INDEX hot_attribute_slots_attribute ON hot_attribute_slots (tenant_id, asset_type_id, attribute_id) WHERE state <> 'RETIRED';
-- squawk-ignore require-concurrent-index-creation -- as above
CREATE UNIQUE INDEX hot_attribute_slots_slot ON hot_attribute_slots (tenant_id, asset_type_id, slot) WHERE state <> 'RETIRED';
ALTER TABLE hot_attribute_slots ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON hot_attribute_slots FOR SELECT TO atlas_reader
    USING (tenant_id = nullif(current_setting('atlas.tenant_id', true), '')::integer);
GRANT INSERT, UPDATE ON hot_attribute_slots TO atlas_ingest;

CREATE TABLE hot_attribute_backfills (
    mapping_id integer PRIMARY KEY REFERENCES hot_attribute_slots,
    -- All entities up to this id are done.
    after_entity_id bigint NOT NULL DEFAULT -1,
    entities_done bigint NOT NULL DEFAULT 0 CHECK (entities_done >= 0),
    -- Counted when the backfill began.
    entities_total bigint CHECK (entities_total >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE hot_attribute_backfills IS 'How far the slots of a mapping are filled from history. Not captured.';
GRANT SELECT, INSERT, UPDATE ON hot_attribute_backfills TO atlas_ingest;

-- What a process knows of the catalogue holds while the number of its tenants' slot stands, as what it knows of entities does.
ALTER TABLE entity_changes ADD COLUMN catalogue bigint NOT NULL DEFAULT 0 CHECK (catalogue >= 0);
COMMENT ON COLUMN entity_changes.catalogue IS 'How often promotions and demotions changed the catalogue of the tenants of the slot; `number` rises with it.';
CREATE FUNCTION count_catalogue_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Whether a mapping is READY is for readers: writes keep its slot before and after.
    IF TG_OP = 'INSERT' OR NEW.state = 'RETIRED' THEN
        UPDATE entity_changes SET number = number + 1, catalogue = catalogue + 1 WHERE slot = NEW.tenant_id % 64;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION count_catalogue_changes FROM PUBLIC;
CREATE TRIGGER counted AFTER INSERT OR UPDATE ON hot_attribute_slots FOR EACH ROW EXECUTE FUNCTION count_catalogue_changes();

-- Deletes of an attribute or of the entity hide what has a smaller row version, also what is committed after them: such a value
-- in a slot says to ask history.
ALTER TABLE entity_hot_attributes ADD COLUMN erased_version bigint;
COMMENT ON COLUMN entity_hot_attributes.erased_version IS 'Greatest row version of a delete of the entity, or of a promoted attribute of it.';

-- The same rule as before, and that a slot may not fall back in time, or be without a mapping again; in one expression: a row has
-- 30 slots. Under another mapping it begins anew.
DO $$
DECLARE
    before text;
    after text;
BEGIN
    SELECT string_agg(format('OLD.%1$s_mapping IS NOT NULL AND (NEW.%1$s_mapping IS NULL OR NEW.%1$s_mapping = OLD.%1$s_mapping AND '
            '(OLD.%1$s_time, OLD.%1$s_version) > (NEW.%1$s_time, NEW.%1$s_version))', slot), ' OR ' ORDER BY slot),
        string_agg(format('OLD.%1$s_version IS DISTINCT FROM NEW.%1$s_version OR OLD.%1$s_time IS DISTINCT FROM NEW.%1$s_time OR '
            'OLD.%1$s_mapping IS DISTINCT FROM NEW.%1$s_mapping', slot), ' OR ' ORDER BY slot)
    INTO before, after
    FROM (SELECT format('%s_%s', kind, number) AS slot FROM unnest(ARRAY['int', 'uint', 'double', 'bool', 'text']) AS kind, generate_series(1, 6) AS number) AS slots;
    EXECUTE format($body$
        CREATE OR REPLACE FUNCTION demand_next_change() RETURNS trigger LANGUAGE plpgsql AS $function$
        BEGIN
            IF NEW.change <> OLD.change + 1 THEN
                RAISE EXCEPTION 'an update of %% must raise change by one', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
            END IF;
            IF coalesce(NEW.erased_version, 0) < coalesce(OLD.erased_version, 0) OR %s THEN
                RAISE EXCEPTION 'an update of %% must not lower a slot', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
            END IF;
            IF NOT (OLD.erased_version IS DISTINCT FROM NEW.erased_version OR %s) THEN
                RAISE EXCEPTION 'an update of %% must raise a slot', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END
        $function$
    $body$, before, after);
END
$$;

-- One index a slot. A slot that no mapping uses has none of its rows in it. What has to be asked of history stands beside the values.
DO $$
DECLARE
    slot text;
BEGIN
    FOR slot IN SELECT format('%s_%s', kind, number) FROM unnest(ARRAY['int', 'uint', 'double', 'bool', 'text']) AS kind, generate_series(1, 6) AS number LOOP
        EXECUTE format('CREATE INDEX entity_hot_attributes_%1$s ON entity_hot_attributes (tenant_id, %1$s_mapping, %1$s_deleted, %1$s) '
            'WHERE %1$s_mapping IS NOT NULL', slot);
    END LOOP;
END
$$;

-- migrate:down
DO $$ BEGIN RAISE EXCEPTION 'mappings have been retired since; the schema before this one could not tell them apart'; END $$;
