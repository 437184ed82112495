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
    current_setting('fsync')::boolean AS fsync,
    current_setting('full_page_writes')::boolean AS full_page_writes,
    -- What roles and databases are given instead of the server's own: a session of theirs commits by it.
    ARRAY(
        SELECT split_part(setting, '=', 2) FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting
        WHERE setting LIKE 'synchronous_commit=%'
    ) AS synchronous_commit_elsewhere;

-- name: look_at_replica
SELECT pg_is_in_recovery() AS in_recovery,
    (pg_last_wal_replay_lsn() - '0/0')::bigint AS replayed,
    (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
    receiver.status,
    receiver.received_tli
FROM (VALUES (1)) AS one LEFT JOIN pg_stat_wal_receiver AS receiver ON true;

-- name: look_at_aurora_reader
-- Aurora only. The writer's row has a fixed session; its durable position stands for the volume's.
SELECT own.session_id <> 'MASTER_SESSION_ID' AS is_reader,
    writer.durable_lsn AS writer_durable_lsn,
    own.current_read_lsn,
    own.replica_lag_in_msec
FROM aurora_replica_status() AS own
LEFT JOIN aurora_replica_status() AS writer ON writer.session_id = 'MASTER_SESSION_ID'
WHERE own.server_id = aurora_db_instance_identifier();

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

-- name: look_at_change_stream
-- The slot, what it decoded since its statistics began, and the publication, as they are now. Times in microseconds since 1970.
-- `held_back` is of all slots: whichever is furthest back keeps vacuum from what was deleted since. A lost one keeps nothing.
SELECT
    current_setting('wal_level') AS wal_level,
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS server_started,
    slot.slot_name IS NOT NULL AS present,
    slot.plugin, slot.database = current_database() AS of_this_database, slot.wal_status, slot.invalidation_reason,
    (slot.confirmed_flush_lsn - '0/0')::bigint AS confirmed,
    coalesce(decoded.total_txns, 0) AS transactions,
    coalesce((extract(epoch FROM decoded.stats_reset) * 1000000)::bigint, 0) AS statistics_reset,
    (
        SELECT max(greatest(age(held.xmin), age(held.catalog_xmin))) FROM pg_replication_slots AS held
        WHERE held.wal_status IS DISTINCT FROM 'lost'
    ) AS held_back,
    -- Of what is updated the whole row before it must be in the log: a value out of line that did not change is taken from there.
    NOT EXISTS (
        SELECT FROM pg_inherits JOIN pg_class AS leaf ON leaf.oid = inhrelid
        WHERE inhparent IN ('entities'::regclass, 'entity_hot_attributes'::regclass) AND leaf.relreplident <> 'f'
    ) AS whole_rows,
    publication.pubinsert AND publication.pubupdate AND publication.pubdelete AND publication.pubviaroot
        AND NOT publication.puballtables AS publication_as_made,
    ARRAY(
        SELECT relation.relname::text FROM pg_publication_rel AS member JOIN pg_class AS relation ON relation.oid = member.prrelid
        WHERE member.prpubid = publication.oid AND member.prqual IS NULL AND member.prattrs IS NULL
    ) AS published
FROM (VALUES (1)) AS one
LEFT JOIN pg_replication_slots AS slot ON slot.slot_name = $1
LEFT JOIN pg_stat_replication_slots AS decoded ON decoded.slot_name = $1
LEFT JOIN pg_publication AS publication ON publication.pubname = $2;

-- name: known_change_stream
SELECT generation, server_started, statistics_reset, transactions, confirmed, broken_because FROM change_streams WHERE slot = $1;

-- name: remember_change_stream
-- Nothing changes while it is broken: only an acceptance ends that.
INSERT INTO change_streams AS known (slot, server_started, statistics_reset, transactions, confirmed, broken_because)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (slot) DO UPDATE SET (server_started, statistics_reset, transactions, confirmed, broken_because, seen_at) =
    (excluded.server_started, excluded.statistics_reset, excluded.transactions, excluded.confirmed, excluded.broken_because, now())
WHERE known.broken_because IS NULL AND known.generation = $7;

-- name: registered_epochs
SELECT epoch, system_identifier, timeline, ancestors, withdrawn_because FROM epochs ORDER BY epoch;

-- name: timeline_history
SELECT timeline_history($1);

-- name: store_ancestors
UPDATE epochs SET ancestors = $2 WHERE epoch = $1 AND ancestors IS NULL;

-- name: withdraw_epoch
UPDATE epochs SET withdrawn_because = $2 WHERE epoch = $1 AND withdrawn_because IS NULL;

-- name: register_epoch
-- Only on the primary and timeline that the epoch is for.
INSERT INTO epochs (epoch, system_identifier, timeline)
SELECT $1::smallint, $2::bigint, $3::integer
WHERE (SELECT system_identifier FROM pg_control_system()) = $2::bigint AND left(pg_walfile_name(pg_current_wal_lsn()), 8) = $4::text
ON CONFLICT DO NOTHING;
