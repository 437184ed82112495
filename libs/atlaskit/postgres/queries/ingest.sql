-- Statements of the writer. Arrays are parallel, one element a row, sorted by key.

-- name: server_identity
-- Timeline: the control file shows the old one for a while after a promotion, the name of the WAL file does not.
SELECT (SELECT system_identifier FROM pg_control_system()) AS system_identifier, pg_is_in_recovery() AS in_recovery,
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
    current_setting('synchronous_commit') AS synchronous_commit;

-- name: epoch_of
SELECT epoch FROM epochs WHERE system_identifier = $1 AND timeline = $2 AND withdrawn_because IS NULL;

-- name: register_writer
-- Numbers are never given twice, so a connection that is lost takes its number with it.
INSERT INTO ingest_writers (writer) SELECT ($1::bigint << 48) | nextval('ingest_writer') RETURNING writer;

-- name: reserve_transaction
SELECT nextval('ingest_transaction');

-- name: open_transaction
-- Its time is that of the whole transaction, and the created_at of its rows. Writes of a tenant share a lock that a delete of
-- a whole entity has alone: whoever comes second sees what the first one did to the entity. The locks are taken in order,
-- before any row is locked; 64 are enough, and bound what one transaction holds. One row for each request that is stored
-- already, or one without. `numbers` and `catalogues` are those of the tenants' slots, in order, from before the locks were had.
SELECT opened.began, opened.numbers, opened.catalogues, r.tenant_id, r.request_id, r.digest, r.result
FROM (
    SELECT set_config('statement_timeout', $1, true), now() AS began, (
        SELECT array_agg(number ORDER BY slot) FROM entity_changes WHERE slot IN (SELECT tenant_id % 64 FROM unnest($2::integer[]) AS t (tenant_id))
    ) AS numbers, (
        SELECT array_agg(catalogue ORDER BY slot) FROM entity_changes WHERE slot IN (SELECT tenant_id % 64 FROM unnest($2::integer[]) AS t (tenant_id))
    ) AS catalogues, (
        SELECT count(CASE WHEN alone THEN pg_advisory_xact_lock(key)::text ELSE pg_advisory_xact_lock_shared(key)::text END)
        FROM (
            SELECT hashtextextended('atlas.entities', tenant_id % 64) AS key, bool_or(erases) AS alone
            FROM unnest($2::integer[], $3::boolean[]) AS touched (tenant_id, erases) GROUP BY 1 ORDER BY 1
        ) AS locks
    ) AS locks
) AS opened
LEFT JOIN (
    unnest($4::integer[], $5::uuid[]) AS asked (tenant_id, request_id) JOIN ingest_requests AS r USING (tenant_id, request_id)
) ON true;

-- name: create_stage
-- Of the connection, and so never captured.
CREATE TEMPORARY TABLE staged_attributes (LIKE entity_attributes INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;

-- name: insert_staged
INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, value_int, value_uint, value_double, value_bool,
    value_text, value_bytes, event_time, row_version, deletion, asset_type_id, source_type_id)
SELECT tenant_id, entity_id, attribute_id, shard, value_type, value_int, value_uint, value_double, value_bool,
    value_text, value_bytes, event_time, row_version, deletion, asset_type_id, source_type_id
FROM staged_attributes;

-- name: close_transaction
-- The ledger row, the writer's place in the vector and the answers to requests. Nothing may cancel the COMMIT that follows: a
-- cancelled wait for a synchronous standby would acknowledge what only this server has, so the limit on statements ends here.
-- Fewer requests are stored than were given when another transaction stored one of them first. The numbers of slots stand in order.
WITH ledger AS (
    INSERT INTO ingest_batches (writer, sequence, transaction_number, row_version, entries, traceparents)
    VALUES ($6, $7, $8, $9, $10::text::jsonb, $11::text::jsonb)
), writer AS (
    UPDATE ingest_writers SET last_sequence = $7 WHERE writer = $6 AND last_sequence = $7 - 1 RETURNING 1
), stored AS (
    INSERT INTO ingest_requests (tenant_id, request_id, digest, result)
    SELECT * FROM unnest($1::integer[], $2::uuid[], $3::bytea[], $4::bytea[])
    ON CONFLICT (tenant_id, request_id) DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM writer) AS advanced, (SELECT count(*) FROM stored) AS stored,
    (SELECT array_agg(number ORDER BY slot) FROM entity_changes WHERE slot = ANY ($5::smallint[])) AS numbers,
    (SELECT array_agg(catalogue ORDER BY slot) FROM entity_changes WHERE slot = ANY ($5::smallint[])) AS catalogues,
    set_config('statement_timeout', '0', true);

-- name: close_without_ledger
-- The same for a transaction that changes no captured table.
WITH stored AS (
    INSERT INTO ingest_requests (tenant_id, request_id, digest, result)
    SELECT * FROM unnest($1::integer[], $2::uuid[], $3::bytea[], $4::bytea[])
    ON CONFLICT (tenant_id, request_id) DO NOTHING RETURNING 1
)
SELECT 1 AS advanced, (SELECT count(*) FROM stored) AS stored,
    (SELECT array_agg(number ORDER BY slot) FROM entity_changes WHERE slot = ANY ($5::smallint[])) AS numbers,
    (SELECT array_agg(catalogue ORDER BY slot) FROM entity_changes WHERE slot = ANY ($5::smallint[])) AS catalogues,
    set_config('statement_timeout', '0', true);

-- name: commit_small_group
-- The whole transaction of a small group (schema: small_groups).
CALL commit_small_group($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24);

-- name: flushed
-- Read after the COMMIT, so its record lies at or below.
SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint;

-- name: find_entities
SELECT e.tenant_id, e.entity_id, e.entity_key, e.asset_type_id, e.deleted
FROM unnest($1::integer[], $2::bigint[], $3::smallint[]) AS wanted (tenant_id, entity_id, shard)
JOIN entities AS e USING (tenant_id, entity_id, shard);

-- name: upsert_entities
-- A write older than the stored one changes nothing, and returns nothing: the ledger counts what RETURNING gives. Nor does
-- one whose key is another: two keys met in one number, and the caller is told. A delete does not hide an entity that was
-- written again by a later transaction which committed first.
INSERT INTO entities AS stored (tenant_id, entity_id, shard, entity_key, asset_type_id, row_version, deleted)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::smallint[], $4::text[], $5::integer[], $6::bigint[], $7::boolean[])
ON CONFLICT (tenant_id, entity_id, shard) DO UPDATE SET
    asset_type_id = coalesce(excluded.asset_type_id, stored.asset_type_id),
    updated_at = now(), deleted = excluded.deleted, row_version = excluded.row_version
WHERE stored.row_version < excluded.row_version AND stored.entity_key IS NOT DISTINCT FROM excluded.entity_key
    AND NOT (excluded.deleted AND EXISTS (
        SELECT FROM entity_attributes AS later
        WHERE later.tenant_id = stored.tenant_id AND later.entity_id = stored.entity_id
            AND later.row_version > excluded.row_version AND later.deletion = 0
    ))
RETURNING shard, row_version;
