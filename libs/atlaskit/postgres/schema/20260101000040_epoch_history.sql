-- migrate:up
ALTER TABLE epochs ADD COLUMN ancestors jsonb;
ALTER TABLE epochs ADD COLUMN withdrawn_because text;
COMMENT ON COLUMN epochs.ancestors IS 'History of the timeline as PostgreSQL wrote it at the promotion: [[timeline, bytes of the log up to which it is part of this one], ...]. NULL: not known, and then nothing of an earlier epoch is taken to have survived.';
COMMENT ON COLUMN epochs.withdrawn_because IS 'Why no write is accepted and nothing is proven in this epoch any more, such as a log that became shorter under the same name. NULL: it is in force.';
GRANT UPDATE (ancestors, withdrawn_because) ON epochs TO atlas_monitor;

-- The file is readable by superusers only, and the replication protocol tells it only to roles that could copy the whole cluster.
CREATE FUNCTION timeline_history(timeline integer) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_read_file('pg_wal/' || lpad(upper(to_hex(timeline)), 8, '0') || '.history', true) $$;
COMMENT ON FUNCTION timeline_history IS 'What PostgreSQL wrote of a timeline''s ancestors; NULL for the first timeline, or if the file is gone.';
REVOKE ALL ON FUNCTION timeline_history FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timeline_history TO atlas_monitor;

CREATE TABLE change_streams (
    slot text PRIMARY KEY,
    -- Rises with each acceptance; what was proven in an earlier one is not claimed again.
    generation integer NOT NULL DEFAULT 1 CHECK (generation > 0),
    -- As last seen: start of the server in microseconds since 1970, reset of the slot's statistics likewise or 0, transactions
    -- decoded since, and the confirmed position in bytes.
    server_started bigint NOT NULL,
    statistics_reset bigint NOT NULL,
    transactions bigint NOT NULL,
    confirmed bigint NOT NULL,
    broken_because text,
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE change_streams IS 'The replication slot that feeds ClickHouse, as the lag monitor last saw it; broken means that changes may be missing behind it. Not published.';
GRANT SELECT, INSERT, UPDATE ON change_streams TO atlas_monitor;

CREATE FUNCTION accept_change_stream(accepted text) RETURNS integer
LANGUAGE sql SET search_path = public, pg_temp
AS $$
    UPDATE change_streams
    SET (generation, broken_because, transactions, confirmed) = (generation + 1, NULL, 0, 0)
    WHERE slot = accepted AND broken_because IS NOT NULL RETURNING generation
$$;
COMMENT ON FUNCTION accept_change_stream IS 'Say that everything missing behind a broken slot is in ClickHouse again. For the owner of the database, once it is true.';
REVOKE ALL ON FUNCTION accept_change_stream FROM PUBLIC;

-- migrate:down
DROP FUNCTION accept_change_stream;
DROP TABLE change_streams;
DROP FUNCTION timeline_history;
ALTER TABLE epochs DROP COLUMN withdrawn_because, DROP COLUMN ancestors;
