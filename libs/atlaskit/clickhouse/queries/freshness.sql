-- What the server says about how fresh it is.

-- name: forget_incarnation
-- Between this and the insert of a new one nothing is claimed.
TRUNCATE TABLE olap_incarnation;

-- name: incarnation
SELECT incarnation FROM olap_incarnation LIMIT 2;

-- name: proven_watermarks
-- The caller drops the pairs of table and shard that it did not ask for.
SELECT table_name, shard, monitor, beat, epoch, timeline, system_identifier, lsn, incarnation
FROM proven_watermarks
WHERE table_name IN {tables:Array(String)} AND shard IN {shards:Array(UInt8)};

-- name: table_engines
-- The tables that hold what is claimed; those of the migrations' own bookkeeping are none of them.
SELECT name, engine_full
FROM system.tables
WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name <> 'schema_migrations';

-- name: session_settings
SELECT name, value FROM system.settings WHERE name IN {names:Array(String)};
