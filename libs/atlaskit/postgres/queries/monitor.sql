-- Statements of the lag monitor.

-- name: look_at_primary
-- One statement: what it says belongs to one moment of one server. The timeline is that of the log being written; the
-- control file shows the old one for a while after a promotion.
SELECT pg_is_in_recovery() AS in_recovery,
    CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_flush_lsn() - '0/0')::bigint END AS flushed,
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
    (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('synchronous_standby_names') <> '' AS has_synchronous_standbys,
    current_setting('fsync')::boolean AS fsync;

-- name: look_at_replica
SELECT pg_is_in_recovery() AS in_recovery,
    (pg_last_wal_replay_lsn() - '0/0')::bigint AS replayed,
    (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
    receiver.status,
    receiver.received_tli
FROM (VALUES (1)) AS one LEFT JOIN pg_stat_wal_receiver AS receiver ON true;

-- name: take_place
-- The first free place, held until the session ends; no row when all are taken.
SELECT place FROM generate_series(0, 7) AS place WHERE pg_try_advisory_lock($1, place) LIMIT 1;

-- name: commit_beat
-- All rows of one beat in one transaction. The vector is read in it, after the flush position was read before it: what had
-- been committed by then is in the vector.
WITH beat (place, monitor, beat, epoch, lsn) AS (
    VALUES ($1::smallint, $2::uuid, $3::bigint, $4::smallint, $5::bigint)
), spread AS (
    SELECT place, shard::smallint, monitor, beat, epoch, lsn FROM beat CROSS JOIN generate_series(0, 9) AS shard
), single AS (
    SELECT place, 0::smallint, monitor, beat, epoch, lsn FROM beat
), of_entities AS (
    INSERT INTO entities_beat (place, shard, monitor, beat, epoch, lsn) SELECT * FROM spread
    ON CONFLICT (place, shard) DO UPDATE SET (monitor, beat, epoch, lsn) = (excluded.monitor, excluded.beat, excluded.epoch, excluded.lsn)
), of_hot_attributes AS (
    INSERT INTO entity_hot_attributes_beat (place, shard, monitor, beat, epoch, lsn) SELECT * FROM spread
    ON CONFLICT (place, shard) DO UPDATE SET (monitor, beat, epoch, lsn) = (excluded.monitor, excluded.beat, excluded.epoch, excluded.lsn)
), of_attributes AS (
    INSERT INTO entity_attributes_beat (place, shard, monitor, beat, epoch, lsn) SELECT * FROM spread
    ON CONFLICT (place, shard) DO UPDATE SET (monitor, beat, epoch, lsn) = (excluded.monitor, excluded.beat, excluded.epoch, excluded.lsn)
), of_attribute_keys AS (
    INSERT INTO attribute_keys_beat (place, shard, monitor, beat, epoch, lsn) SELECT * FROM single
    ON CONFLICT (place, shard) DO UPDATE SET (monitor, beat, epoch, lsn) = (excluded.monitor, excluded.beat, excluded.epoch, excluded.lsn)
), of_asset_types AS (
    INSERT INTO asset_types_beat (place, shard, monitor, beat, epoch, lsn) SELECT * FROM single
    ON CONFLICT (place, shard) DO UPDATE SET (monitor, beat, epoch, lsn) = (excluded.monitor, excluded.beat, excluded.epoch, excluded.lsn)
)
INSERT INTO ingest_batches_beat (place, shard, monitor, beat, epoch, lsn, vector)
SELECT single.*, (SELECT coalesce(jsonb_object_agg(writer, last_sequence), '{}') FROM ingest_writers) FROM single
ON CONFLICT (place, shard) DO UPDATE SET (monitor, beat, epoch, lsn, vector) =
    (excluded.monitor, excluded.beat, excluded.epoch, excluded.lsn, excluded.vector);

-- name: commit_primary_beat
-- A row whose commit shows that the primary still acknowledges, and which timeline it writes.
INSERT INTO primary_beat (place, monitor, beat) VALUES ($1, $2, $3)
ON CONFLICT (place) DO UPDATE SET (monitor, beat) = (excluded.monitor, excluded.beat)
RETURNING (SELECT system_identifier FROM pg_control_system()) AS system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline;

-- name: registered_epochs
SELECT epoch, system_identifier, timeline FROM epochs ORDER BY epoch;

-- name: register_epoch
-- Only on the primary and timeline that the epoch is for.
INSERT INTO epochs (epoch, system_identifier, timeline)
SELECT $1::smallint, $2::bigint, $3::integer
WHERE (SELECT system_identifier FROM pg_control_system()) = $2::bigint AND left(pg_walfile_name(pg_current_wal_lsn()), 8) = $4::text
ON CONFLICT DO NOTHING;
