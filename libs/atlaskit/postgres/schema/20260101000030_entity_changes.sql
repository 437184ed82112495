-- migrate:up
-- What a process of ingest remembers of entities holds while the number of their slot stays: whoever updates an entity raises
-- it in the same transaction. A slot is tenant_id % 64, as that of the lock which writes share and a delete of an entity has alone.
CREATE TABLE entity_changes (
    slot smallint PRIMARY KEY CHECK (slot BETWEEN 0 AND 63),
    number bigint NOT NULL DEFAULT 0 CHECK (number >= 0)
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE entity_changes IS 'How often statements updated entities of the tenants of a slot; an insert does not count. Not captured.';
INSERT INTO entity_changes (slot) SELECT generate_series(0, 63);

-- For each statement, after its rows are locked, and slots in order: so no two of them wait for each other.
CREATE FUNCTION count_entity_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    changed_slot smallint;
BEGIN
    FOR changed_slot IN SELECT DISTINCT (tenant_id % 64)::smallint AS slot FROM changed ORDER BY slot LOOP
        UPDATE entity_changes SET number = number + 1 WHERE slot = changed_slot;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER counted AFTER UPDATE ON entities REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_entity_changes();
REVOKE ALL ON FUNCTION count_entity_changes FROM PUBLIC;
GRANT SELECT ON entity_changes TO atlas_ingest;

-- migrate:down
DROP TRIGGER counted ON entities;
DROP FUNCTION count_entity_changes;
DROP TABLE entity_changes;
