-- Who may do what in a ClickHouse server, and which rows a reader sees. For the database `atlas`, after its migrations and
-- after each later one that adds a table. Every statement may be run again. What differs between deployments is `${name}`.

CREATE ROLE IF NOT EXISTS atlas_reader;
CREATE ROLE IF NOT EXISTS atlas_monitor;
CREATE ROLE IF NOT EXISTS atlas_sink;

-- Reads: the views, and the tables under them, since a view reads as whoever asks it. Of these tables the policies below show
-- a reader the rows of the tenants that its query names, and none when it names none.
GRANT SELECT ON atlas.tenant_entities TO atlas_reader;
GRANT SELECT ON atlas.visible_entity_values TO atlas_reader;
GRANT SELECT ON atlas.current_entity_values TO atlas_reader;
GRANT SELECT ON atlas.visible_values TO atlas_reader;
GRANT SELECT ON atlas.listed_entities TO atlas_reader;
GRANT SELECT ON atlas.entity_analytics_events TO atlas_reader;
GRANT SELECT ON atlas.entities TO atlas_reader;
GRANT SELECT ON atlas.entity_hot_attributes TO atlas_reader;
GRANT SELECT ON atlas.attribute_keys TO atlas_reader;
GRANT SELECT ON atlas.asset_types TO atlas_reader;
GRANT SELECT ON atlas.proven_watermarks TO atlas_reader;
GRANT SELECT ON atlas.olap_watermarks TO atlas_reader;
GRANT SELECT ON atlas.olap_incarnation TO atlas_reader;

-- The lag monitor: how far the copy has come, and no row of a tenant.
GRANT SELECT ON atlas.proven_watermarks TO atlas_monitor;
GRANT SELECT ON atlas.olap_watermarks TO atlas_monitor;
GRANT SELECT ON atlas.olap_incarnation TO atlas_monitor;

-- The sink: every row, and deletes of what a failover lost.
GRANT SELECT, INSERT, ALTER DELETE ON atlas.entity_analytics_events TO atlas_sink;
GRANT SELECT, INSERT, ALTER DELETE ON atlas.entities TO atlas_sink;
GRANT SELECT, INSERT, ALTER DELETE ON atlas.entity_hot_attributes TO atlas_sink;
GRANT SELECT, INSERT, ALTER DELETE ON atlas.attribute_keys TO atlas_sink;
GRANT SELECT, INSERT, ALTER DELETE ON atlas.asset_types TO atlas_sink;
GRANT SELECT, INSERT ON atlas.olap_watermarks TO atlas_sink;
GRANT SELECT, INSERT, TRUNCATE ON atlas.olap_incarnation TO atlas_sink;
GRANT SELECT ON atlas.proven_watermarks TO atlas_sink;
-- It reads back the settings that its claims rest on.
GRANT SELECT ON system.tables TO atlas_sink, atlas_monitor;
GRANT SELECT ON system.settings TO atlas_sink, atlas_monitor;

-- A reader names tenants in the setting SQL_atlas_tenants of each query, as numbers with commas between.
CREATE ROW POLICY IF NOT EXISTS named_tenants ON atlas.entity_analytics_events FOR SELECT
    USING has(splitByChar(',', getSettingOrDefault('SQL_atlas_tenants', '')), toString(tenant_id)) AS PERMISSIVE TO atlas_reader;
CREATE ROW POLICY IF NOT EXISTS named_tenants ON atlas.entities FOR SELECT
    USING has(splitByChar(',', getSettingOrDefault('SQL_atlas_tenants', '')), toString(tenant_id)) AS PERMISSIVE TO atlas_reader;
CREATE ROW POLICY IF NOT EXISTS named_tenants ON atlas.entity_hot_attributes FOR SELECT
    USING has(splitByChar(',', getSettingOrDefault('SQL_atlas_tenants', '')), toString(tenant_id)) AS PERMISSIVE TO atlas_reader;
CREATE ROW POLICY IF NOT EXISTS named_tenants ON atlas.attribute_keys FOR SELECT
    USING has(splitByChar(',', getSettingOrDefault('SQL_atlas_tenants', '')), toString(tenant_id)) AS PERMISSIVE TO atlas_reader;
CREATE ROW POLICY IF NOT EXISTS named_tenants ON atlas.asset_types FOR SELECT
    USING has(splitByChar(',', getSettingOrDefault('SQL_atlas_tenants', '')), toString(tenant_id)) AS PERMISSIVE TO atlas_reader;

-- Where a table has a policy, a server may be set up to show nothing to those whom none names.
CREATE ROW POLICY IF NOT EXISTS every_tenant ON atlas.entity_analytics_events FOR SELECT USING true AS PERMISSIVE TO atlas_sink;
CREATE ROW POLICY IF NOT EXISTS every_tenant ON atlas.entities FOR SELECT USING true AS PERMISSIVE TO atlas_sink;
CREATE ROW POLICY IF NOT EXISTS every_tenant ON atlas.entity_hot_attributes FOR SELECT USING true AS PERMISSIVE TO atlas_sink;
CREATE ROW POLICY IF NOT EXISTS every_tenant ON atlas.attribute_keys FOR SELECT USING true AS PERMISSIVE TO atlas_sink;
CREATE ROW POLICY IF NOT EXISTS every_tenant ON atlas.asset_types FOR SELECT USING true AS PERMISSIVE TO atlas_sink;

-- A reader writes nothing (2: it may set what a query needs), and no setting of a query exceeds this.
CREATE SETTINGS PROFILE IF NOT EXISTS atlas_reading SETTINGS
    readonly = 2,
    max_execution_time = 60 MIN 0.001 MAX 60,
    max_memory_usage = 8589934592 MIN 1048576 MAX 8589934592,
    max_rows_to_read = 10000000000 MIN 1 MAX 10000000000,
    max_threads = 8 MIN 1 MAX 16
TO atlas_reader;
CREATE QUOTA IF NOT EXISTS atlas_reading FOR INTERVAL 1 minute MAX queries = 60000, execution_time = 1800 TO atlas_reader;

CREATE USER IF NOT EXISTS atlas_router IDENTIFIED WITH sha256_hash BY '${reader_password_sha256}' DEFAULT ROLE atlas_reader;
CREATE USER IF NOT EXISTS atlas_lag_monitor IDENTIFIED WITH sha256_hash BY '${monitor_password_sha256}' DEFAULT ROLE atlas_monitor;
CREATE USER IF NOT EXISTS atlas_olap_sink IDENTIFIED WITH sha256_hash BY '${sink_password_sha256}' DEFAULT ROLE atlas_sink;
GRANT atlas_reader TO atlas_router;
GRANT atlas_monitor TO atlas_lag_monitor;
GRANT atlas_sink TO atlas_olap_sink;
