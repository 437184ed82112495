-- migrate:up
-- One role a service. None owns a table; passwords are set by the deployment.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['atlas_ingest', 'atlas_reader', 'atlas_monitor', 'atlas_sink', 'atlas_keeper', 'atlas_debezium'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
    END LOOP;
END
$$;
-- COPY FROM refuses tables with row security, so ingest bypasses it and may only insert and upsert.
ALTER ROLE atlas_ingest BYPASSRLS;
-- The sink resolves dictionaries of every tenant.
ALTER ROLE atlas_sink BYPASSRLS;
ALTER ROLE atlas_debezium REPLICATION BYPASSRLS;
-- Without it a role sees NULL in pg_stat_wal_receiver and pg_stat_replication.
GRANT pg_read_all_stats TO atlas_monitor, atlas_reader;

-- migrate:down
DO $$ BEGIN RAISE EXCEPTION 'roles are shared by the databases of a cluster; drop them by hand'; END $$;
