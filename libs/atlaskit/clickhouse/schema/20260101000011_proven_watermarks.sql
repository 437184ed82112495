-- migrate:up
-- The newest watermark of each table, shard and monitor that this incarnation of the server still vouches for.
CREATE VIEW IF NOT EXISTS proven_watermarks AS
SELECT table_name, shard, monitor, beat, epoch, timeline, system_identifier, lsn, incarnation
FROM olap_watermarks FINAL
WHERE incarnation IN (SELECT incarnation FROM olap_incarnation)

-- migrate:down
DROP VIEW IF EXISTS proven_watermarks
