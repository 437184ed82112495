-- What a repair of the copy for analytics reads of the primary. Rows come in the form of the connector's events: decimals as
-- text, octets as base64, times in UTC as text.

-- name: ledger_of_writer
SELECT writer, sequence, transaction_number, row_version, entries::text AS entries, traceparents::text AS traceparents,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
FROM ingest_batches WHERE writer = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence LIMIT $4;

-- name: ledger_of_transactions
-- By the numbers that row versions begin with: a row of the ledger has that of its transaction with index 0.
SELECT writer, sequence, transaction_number, row_version, entries::text AS entries, traceparents::text AS traceparents,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
FROM ingest_batches WHERE row_version = ANY ($1::bigint[]);

-- name: rows_of_identities
-- Every version of these observations; an empty key is that of deletes of a whole entity.
SELECT h.tenant_id, h.entity_id, h.attribute_id, h.shard, h.value_type, h.deletion,
    to_char(h.event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS event_time,
    to_char(h.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    h.row_version, h.asset_type_id, h.source_type_id, h.value_int, h.value_uint::text AS value_uint, h.value_double, h.value_bool,
    h.value_text, translate(encode(h.value_bytes, 'base64'), E'\n', '') AS value_bytes
FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::bigint[]) AS asked (tenant_id, entity_id, attribute_key, event_us)
LEFT JOIN attribute_keys AS k ON k.tenant_id = asked.tenant_id AND k.attribute_key = asked.attribute_key
JOIN entity_attributes AS h ON h.tenant_id = asked.tenant_id AND h.entity_id = asked.entity_id
    AND h.attribute_id = CASE WHEN asked.attribute_key = '' THEN 0 ELSE k.attribute_id END
    AND h.event_time = timestamptz '1970-01-01Z' + asked.event_us * interval '1 microsecond';

-- name: surviving_transactions
-- Also those of before what the ledger still holds: it is dropped only once every copy has proven it.
SELECT generate_series($1::bigint, least($2::bigint, (SELECT min(row_version) >> 17 FROM ingest_batches) - 1)) AS key
UNION ALL
SELECT row_version >> 17 FROM ingest_batches WHERE row_version >= $1::bigint << 17 AND row_version < ($2::bigint + 1) << 17;

-- name: last_sequences
SELECT writer, last_sequence FROM ingest_writers;

-- name: entity_attributes_of_transactions
-- Those of the keys $4, which lie between the row versions $1 and $2: transactions that were lost were lost together.
SELECT tenant_id, entity_id, attribute_id, shard, value_type, deletion,
    to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS event_time,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    row_version, asset_type_id, source_type_id, value_int, value_uint::text AS value_uint, value_double, value_bool, value_text,
    translate(encode(value_bytes, 'base64'), E'\n', '') AS value_bytes
FROM entity_attributes WHERE row_version >= $1 AND row_version < $2 AND shard = $3 AND row_version >> 17 = ANY ($4::bigint[]);

-- name: attribute_keys_of_transactions
SELECT tenant_id, attribute_id, attribute_key, shard, row_version FROM attribute_keys
WHERE row_version >= $1 AND row_version < $2 AND shard = $3 AND row_version >> 17 = ANY ($4::bigint[]);

-- name: asset_types_of_transactions
SELECT tenant_id, asset_type_id, asset_type, shard, row_version FROM asset_types
WHERE row_version >= $1 AND row_version < $2 AND shard = $3 AND row_version >> 17 = ANY ($4::bigint[]);

-- name: entity_attributes_page
-- The whole shard by pages, in the order of the primary key; (-1, -1, -1, '-infinity', -1) comes before all of it.
SELECT tenant_id, entity_id, attribute_id, shard, value_type, deletion,
    to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS event_time,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    row_version, asset_type_id, source_type_id, value_int, value_uint::text AS value_uint, value_double, value_bool, value_text,
    translate(encode(value_bytes, 'base64'), E'\n', '') AS value_bytes
FROM entity_attributes
WHERE shard = $1 AND (tenant_id, entity_id, attribute_id, event_time, row_version)
    > ($2::integer, $3::bigint, $4::integer, $5::text::timestamptz, $6::bigint)
ORDER BY tenant_id, entity_id, attribute_id, entity_attributes.event_time, row_version LIMIT $7;

-- name: entities_page
SELECT tenant_id, entity_id, shard, entity_key, asset_type_id,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at, row_version, deleted
FROM entities WHERE shard = $1 AND (tenant_id, entity_id) > ($2::integer, $3::bigint) ORDER BY tenant_id, entity_id LIMIT $4;

-- name: entity_hot_attributes_page
SELECT tenant_id, entity_id, to_jsonb(hot)::text AS event FROM entity_hot_attributes AS hot
WHERE shard = $1 AND (tenant_id, entity_id) > ($2::integer, $3::bigint) ORDER BY tenant_id, entity_id LIMIT $4;

-- name: attribute_keys_page
SELECT tenant_id, attribute_id, attribute_key, shard, row_version FROM attribute_keys
WHERE shard = $1 AND (tenant_id, attribute_id) > ($2::integer, $3::bigint) ORDER BY tenant_id, attribute_id LIMIT $4;

-- name: asset_types_page
SELECT tenant_id, asset_type_id, asset_type, shard, row_version FROM asset_types
WHERE shard = $1 AND (tenant_id, asset_type_id) > ($2::integer, $3::bigint) ORDER BY tenant_id, asset_type_id LIMIT $4;

-- name: retire_writers
-- A writer whose backend is gone, and whose last transaction is the one that was proven. A process id that was given again
-- keeps it a while longer, which harms nothing.
DELETE FROM ingest_writers AS w USING unnest($1::bigint[], $2::bigint[]) AS proven (writer, last_sequence)
WHERE w.writer = proven.writer AND w.last_sequence = proven.last_sequence
    AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = w.backend_pid)
RETURNING w.writer;
