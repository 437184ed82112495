-- Statements of the query router, for primary and replica alike. A probe comes first, on the same connection and in the
-- same READ COMMITTED transaction as the data statement after it: a position read in the data's own statement would be
-- newer than its snapshot, and the claim false.

-- name: probe_primary
-- Which server this is, how far its log is flushed; and of the statements that follow tenant, limit, and how they are planned.
SELECT
    (pg_control_system()).system_identifier AS system_identifier,
    pg_is_in_recovery() AS in_recovery,
    CASE WHEN NOT pg_is_in_recovery() THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END AS timeline,
    CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_flush_lsn() - '0/0')::bigint END AS position,
    set_config('atlas.tenant_id', $1, true) AS tenant_id,
    set_config('statement_timeout', $2, true) AS statement_timeout,
    set_config('plan_cache_mode', $3, true) AS plan_cache_mode;

-- name: probe_replica
-- How far this standby has replayed, and whether its receiver streams and on which timeline: one statement, so that they
-- belong together.
SELECT
    (pg_control_system()).system_identifier AS system_identifier,
    pg_is_in_recovery() AS in_recovery,
    (pg_last_wal_replay_lsn() - '0/0')::bigint AS position,
    receiver.status = 'streaming' AS receiver_streaming,
    receiver.received_tli AS receiver_timeline,
    set_config('atlas.tenant_id', $1, true) AS tenant_id,
    set_config('statement_timeout', $2, true) AS statement_timeout,
    set_config('plan_cache_mode', $3, true) AS plan_cache_mode
FROM (SELECT) AS one_row LEFT JOIN pg_stat_wal_receiver AS receiver ON true;

-- name: flushed_position
-- An upper bound of what the statements before it showed, on a primary.
SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint;

-- name: replayed_position
-- An upper bound of what the statements before it showed, on a standby.
SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint;

-- name: entity_with_all_values
-- The entity with the value of each of its attributes that is current at $3, at most $4 values: one row a value, and one with
-- attribute_key NULL if there is none. A loose index scan finds the attributes, so that the cost goes with their
-- number and not with that of the observations. Of the rows at one event time the greatest row_version counts, found by a
-- subquery for each: a window over them all would read them all;
-- a delete of an attribute or of the entity (at 1969-12-31) hides every smaller row_version.
WITH RECURSIVE
carried AS (
    (SELECT h.attribute_id FROM entity_attributes AS h
    WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id > 0 ORDER BY h.attribute_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT h.attribute_id FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id > c.attribute_id ORDER BY h.attribute_id LIMIT 1
    ) FROM carried AS c WHERE c.attribute_id IS NOT NULL
),
found AS (
    SELECT carried.attribute_id, newest.*
    FROM carried
    CROSS JOIN LATERAL (
        SELECT greatest(
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = carried.attribute_id AND h.event_time = '1969-12-31T00:00:00Z'),
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = 0 AND h.event_time = '1969-12-31T00:00:00Z'),
            0
        ) AS floor
    ) AS erased
    CROSS JOIN LATERAL (
        SELECT h.event_time, h.value_type, h.source_type_id, h.value_int, h.value_uint, h.value_double, h.value_bool, h.value_text, h.value_bytes
        FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = carried.attribute_id
            AND h.event_time > '1969-12-31T00:00:00Z' AND h.event_time <= $3
            AND h.deletion = 0 AND h.row_version > erased.floor
            AND h.row_version = (
                SELECT max(d.row_version) FROM entity_attributes AS d
                WHERE d.tenant_id = $1 AND d.entity_id = $2 AND d.attribute_id = carried.attribute_id AND d.event_time = h.event_time
            )
        ORDER BY h.event_time DESC, h.row_version DESC LIMIT 1
    ) AS newest
    WHERE carried.attribute_id IS NOT NULL
    LIMIT $4
)
SELECT
    e.entity_id, e.entity_key, e.created_at, t.asset_type, k.attribute_key, s.source_type,
    f.event_time, f.value_type, f.value_int, f.value_uint, f.value_double, f.value_bool, f.value_text, f.value_bytes
FROM entities AS e
LEFT JOIN asset_types AS t ON t.tenant_id = e.tenant_id AND t.asset_type_id = e.asset_type_id
LEFT JOIN found AS f ON true
LEFT JOIN attribute_keys AS k ON k.tenant_id = e.tenant_id AND k.attribute_id = f.attribute_id
LEFT JOIN source_types AS s ON s.source_type_id = f.source_type_id
WHERE e.tenant_id = $1 AND e.entity_id = $2 AND NOT e.deleted
ORDER BY k.attribute_key COLLATE "C";

-- name: entity_with_values
-- The entity with the values current at $4 of the attributes $3: rows as in entity_with_all_values. One plan serves all of them.
SELECT
    e.entity_id, e.entity_key, e.created_at, t.asset_type, f.attribute_key, s.source_type,
    f.event_time, f.value_type, f.value_int, f.value_uint, f.value_double, f.value_bool, f.value_text, f.value_bytes
FROM entities AS e
LEFT JOIN asset_types AS t ON t.tenant_id = e.tenant_id AND t.asset_type_id = e.asset_type_id
LEFT JOIN LATERAL (
    SELECT wanted.attribute_key, newest.*
    FROM (SELECT k.attribute_id, k.attribute_key FROM attribute_keys AS k WHERE k.tenant_id = $1 AND k.attribute_key = ANY($3::text[])) AS wanted
    CROSS JOIN LATERAL (
        SELECT greatest(
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = wanted.attribute_id AND h.event_time = '1969-12-31T00:00:00Z'),
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = 0 AND h.event_time = '1969-12-31T00:00:00Z'),
            0
        ) AS floor
    ) AS erased
    CROSS JOIN LATERAL (
        SELECT h.event_time, h.value_type, h.source_type_id, h.value_int, h.value_uint, h.value_double, h.value_bool, h.value_text, h.value_bytes
        FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = wanted.attribute_id
            AND h.event_time > '1969-12-31T00:00:00Z' AND h.event_time <= $4
            AND h.deletion = 0 AND h.row_version > erased.floor
            AND h.row_version = (
                SELECT max(d.row_version) FROM entity_attributes AS d
                WHERE d.tenant_id = $1 AND d.entity_id = $2 AND d.attribute_id = wanted.attribute_id AND d.event_time = h.event_time
            )
        ORDER BY h.event_time DESC, h.row_version DESC LIMIT 1
    ) AS newest
) AS f ON true
LEFT JOIN source_types AS s ON s.source_type_id = f.source_type_id
WHERE e.tenant_id = $1 AND e.entity_id = $2 AND NOT e.deleted
ORDER BY f.attribute_key COLLATE "C";

-- name: entity_as_of_position
-- The entity with the values that were current at $4 by the deliveries up to position $5 of the log alone: of the attributes $3, of
-- all if it is empty, at most $6; rows as in entity_with_all_values. A delivery counts if the ledger row of its transaction
-- was written below the position; one whose ledger row is gone, or from before it told a position, stands before those
-- that have one: `too_old` where the position itself is not above any that is known. It reads every delivery of the entity.
WITH delivered AS MATERIALIZED (
    SELECT
        h.attribute_id, h.event_time, h.row_version, h.deletion, h.source_type_id,
        h.value_type, h.value_int, h.value_uint, h.value_double, h.value_bool, h.value_text, h.value_bytes,
        ledger.wal_position
    FROM entity_attributes AS h
    LEFT JOIN LATERAL (
        SELECT b.wal_position FROM ingest_batches AS b
        WHERE b.created_at = h.created_at AND b.row_version = h.row_version >> 17 << 17
    ) AS ledger ON true
    WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.event_time <= $4
        AND (
            cardinality($3::text[]) = 0 OR h.attribute_id = 0
            OR h.attribute_id IN (SELECT k.attribute_id FROM attribute_keys AS k WHERE k.tenant_id = $1 AND k.attribute_key = ANY ($3::text[]))
        )
        AND (ledger.wal_position < $5 OR ledger.wal_position IS NULL)
),
erased AS (
    SELECT d.attribute_id, max(d.row_version) AS floor FROM delivered AS d
    WHERE d.event_time = '1969-12-31T00:00:00Z' GROUP BY d.attribute_id
),
last_delivered AS (
    SELECT DISTINCT ON (d.attribute_id, d.event_time) d.* FROM delivered AS d
    WHERE d.event_time > '1969-12-31T00:00:00Z' ORDER BY d.attribute_id, d.event_time, d.row_version DESC
),
found AS (
    SELECT DISTINCT ON (l.attribute_id) l.* FROM last_delivered AS l
    LEFT JOIN erased AS own ON own.attribute_id = l.attribute_id
    LEFT JOIN erased AS whole ON whole.attribute_id = 0
    WHERE l.deletion = 0 AND l.row_version > greatest(own.floor, whole.floor, 0)
    ORDER BY l.attribute_id, l.event_time DESC LIMIT $6
)
SELECT
    e.entity_id, e.entity_key, e.created_at, t.asset_type, k.attribute_key, s.source_type,
    f.event_time, f.value_type, f.value_int, f.value_uint, f.value_double, f.value_bool, f.value_text, f.value_bytes,
    CASE
        WHEN EXISTS (SELECT FROM delivered AS d WHERE d.wal_position IS NULL)
            THEN NOT EXISTS (SELECT FROM ingest_batches AS b WHERE b.wal_position < $5)
        ELSE false
    END AS too_old
FROM entities AS e
LEFT JOIN asset_types AS t ON t.tenant_id = e.tenant_id AND t.asset_type_id = e.asset_type_id
LEFT JOIN found AS f ON true
LEFT JOIN attribute_keys AS k ON k.tenant_id = e.tenant_id AND k.attribute_id = f.attribute_id
LEFT JOIN source_types AS s ON s.source_type_id = f.source_type_id
WHERE e.tenant_id = $1 AND e.entity_id = $2 AND NOT e.deleted
ORDER BY k.attribute_key COLLATE "C";

-- name: entities_with_values
-- Entities above $2 up to $3 in order of id, at most $4, with the values current at $6 of the
-- attributes $5: rows as in entity_with_all_values, entity by entity.
WITH page AS (
    SELECT e.tenant_id, e.entity_id, e.entity_key, e.created_at, e.asset_type_id
    FROM entities AS e
    WHERE e.tenant_id = $1 AND e.entity_id > $2 AND e.entity_id <= $3 AND NOT e.deleted
    ORDER BY e.entity_id LIMIT $4
),
wanted AS (SELECT k.attribute_id, k.attribute_key FROM attribute_keys AS k WHERE k.tenant_id = $1 AND k.attribute_key = ANY($5::text[]))
SELECT
    page.entity_id, page.entity_key, page.created_at, t.asset_type, f.attribute_key, s.source_type,
    f.event_time, f.value_type, f.value_int, f.value_uint, f.value_double, f.value_bool, f.value_text, f.value_bytes
FROM page
LEFT JOIN asset_types AS t ON t.tenant_id = page.tenant_id AND t.asset_type_id = page.asset_type_id
LEFT JOIN LATERAL (
    SELECT wanted.attribute_key, newest.*
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT greatest(
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = page.entity_id AND h.attribute_id = wanted.attribute_id AND h.event_time = '1969-12-31T00:00:00Z'),
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = page.entity_id AND h.attribute_id = 0 AND h.event_time = '1969-12-31T00:00:00Z'),
            0
        ) AS floor
    ) AS erased
    CROSS JOIN LATERAL (
        SELECT h.event_time, h.value_type, h.source_type_id, h.value_int, h.value_uint, h.value_double, h.value_bool, h.value_text, h.value_bytes
        FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = page.entity_id AND h.attribute_id = wanted.attribute_id
            AND h.event_time > '1969-12-31T00:00:00Z' AND h.event_time <= $6
            AND h.deletion = 0 AND h.row_version > erased.floor
            AND h.row_version = (
                SELECT max(d.row_version) FROM entity_attributes AS d
                WHERE d.tenant_id = $1 AND d.entity_id = page.entity_id AND d.attribute_id = wanted.attribute_id AND d.event_time = h.event_time
            )
        ORDER BY h.event_time DESC, h.row_version DESC LIMIT 1
    ) AS newest
) AS f ON true
LEFT JOIN source_types AS s ON s.source_type_id = f.source_type_id
ORDER BY page.entity_id, f.attribute_key COLLATE "C";

-- name: history_oldest_first
-- Observations of attribute $3 of an entity from $4 to before $5, at most $6. The last delivery at an event time counts.
SELECT w.event_time, w.value_type, s.source_type, w.value_int, w.value_uint, w.value_double, w.value_bool, w.value_text, w.value_bytes
FROM attribute_keys AS k
CROSS JOIN LATERAL (
    SELECT greatest(
        (SELECT max(h.row_version) FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = k.attribute_id AND h.event_time = '1969-12-31T00:00:00Z'),
        (SELECT max(h.row_version) FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = 0 AND h.event_time = '1969-12-31T00:00:00Z'),
        0
    ) AS floor
) AS erased
CROSS JOIN LATERAL (
    SELECT h.*
    FROM entity_attributes AS h
    WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = k.attribute_id AND h.event_time >= $4 AND h.event_time < $5
        AND h.deletion = 0 AND h.row_version > erased.floor
        AND h.row_version = (
            SELECT max(d.row_version) FROM entity_attributes AS d
            WHERE d.tenant_id = $1 AND d.entity_id = $2 AND d.attribute_id = k.attribute_id AND d.event_time = h.event_time
        )
    ORDER BY h.event_time, h.row_version LIMIT $6
) AS w
LEFT JOIN source_types AS s ON s.source_type_id = w.source_type_id
WHERE k.tenant_id = $1 AND k.attribute_key = $3
ORDER BY w.event_time;

-- name: history_newest_first
-- The same, newest first.
SELECT w.event_time, w.value_type, s.source_type, w.value_int, w.value_uint, w.value_double, w.value_bool, w.value_text, w.value_bytes
FROM attribute_keys AS k
CROSS JOIN LATERAL (
    SELECT greatest(
        (SELECT max(h.row_version) FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = k.attribute_id AND h.event_time = '1969-12-31T00:00:00Z'),
        (SELECT max(h.row_version) FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = 0 AND h.event_time = '1969-12-31T00:00:00Z'),
        0
    ) AS floor
) AS erased
CROSS JOIN LATERAL (
    SELECT h.*
    FROM entity_attributes AS h
    WHERE h.tenant_id = $1 AND h.entity_id = $2 AND h.attribute_id = k.attribute_id AND h.event_time >= $4 AND h.event_time < $5
        AND h.deletion = 0 AND h.row_version > erased.floor
        AND h.row_version = (
            SELECT max(d.row_version) FROM entity_attributes AS d
            WHERE d.tenant_id = $1 AND d.entity_id = $2 AND d.attribute_id = k.attribute_id AND d.event_time = h.event_time
        )
    ORDER BY h.event_time DESC, h.row_version DESC LIMIT $6
) AS w
LEFT JOIN source_types AS s ON s.source_type_id = w.source_type_id
WHERE k.tenant_id = $1 AND k.attribute_key = $3
ORDER BY w.event_time DESC;

-- name: aggregate_attribute
-- Figures of attribute $2 from $3 to before $4, over all entities that are not deleted, by entity if $5 and by buckets of $6
-- microseconds since 1970 if not NULL; groups above ($7, $8), at most $9. -1 stands for "not grouped by".
SELECT g.*
FROM (
    SELECT
        CASE WHEN $5::boolean THEN w.entity_id ELSE -1 END AS entity_id,
        CASE WHEN $6::bigint IS NULL THEN -1 ELSE floor(extract(epoch FROM w.event_time) * 1000000 / $6) * $6 END::bigint AS bucket,
        count(*) AS count,
        count(w.value_int) + count(w.value_uint) AS integers, count(w.value_double) AS doubles,
        min(w.value_int) AS min_int, max(w.value_int) AS max_int, min(w.value_uint) AS min_uint, max(w.value_uint) AS max_uint,
        min(w.value_double) AS min_double, max(w.value_double) AS max_double,
        coalesce(sum(w.value_int), 0) + coalesce(sum(w.value_uint), 0) AS integer_sum, coalesce(sum(w.value_double), 0) AS double_sum
    FROM attribute_keys AS k
    JOIN entities AS e ON e.tenant_id = k.tenant_id AND NOT e.deleted
    CROSS JOIN LATERAL (
        SELECT greatest(
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = e.entity_id AND h.attribute_id = k.attribute_id AND h.event_time = '1969-12-31T00:00:00Z'),
            (SELECT max(h.row_version) FROM entity_attributes AS h
            WHERE h.tenant_id = $1 AND h.entity_id = e.entity_id AND h.attribute_id = 0 AND h.event_time = '1969-12-31T00:00:00Z'),
            0
        ) AS floor
    ) AS erased
    CROSS JOIN LATERAL (
        SELECT h.*, lead(h.event_time) OVER (ORDER BY h.event_time, h.row_version) AS after
        FROM entity_attributes AS h
        WHERE h.tenant_id = $1 AND h.entity_id = e.entity_id AND h.attribute_id = k.attribute_id AND h.event_time >= $3 AND h.event_time < $4
    ) AS w
    WHERE k.tenant_id = $1 AND k.attribute_key = $2 AND w.after IS DISTINCT FROM w.event_time AND w.deletion = 0 AND w.row_version > erased.floor
    GROUP BY 1, 2
) AS g
WHERE (g.entity_id, g.bucket) > ($7, $8)
ORDER BY g.entity_id, g.bucket LIMIT $9;

-- name: ready_mappings
-- The mappings of these attributes ($3) of an asset type whose slots may be read. Read before and after the statement that
-- uses them, on one connection.
SELECT m.mapping_id, m.tenant_id, m.asset_type_id, m.attribute_id, m.slot, m.state, k.attribute_key
FROM asset_types AS t
JOIN hot_attribute_slots AS m ON m.tenant_id = t.tenant_id AND m.asset_type_id = t.asset_type_id AND m.state = 'READY'
JOIN attribute_keys AS k ON k.tenant_id = m.tenant_id AND k.attribute_id = m.attribute_id
WHERE t.tenant_id = $1 AND t.asset_type = $2 AND k.attribute_key = ANY ($3::text[]);
