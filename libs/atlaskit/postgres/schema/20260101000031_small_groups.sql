-- migrate:up
-- A whole transaction of a small group in one round trip: its number, its rows, its ledger row, its answers and its COMMIT. For rows
-- whose entities, keys and types are committed: what the caller knows of entities must hold, as `slots` and their `numbers` say.
-- Rows are parallel arrays, as are requests; `versions` have a transaction number of 0 and get that of this transaction.
-- `outcome` is 'committed'; or nothing was done: 'busy' (a lock is held that a delete of an entity has alone), 'changed' (a number
-- does not hold), 'repeated' (a request is stored already), 'lost' (the writer is not at this place in the ledger).
-- `committed_at` is the created_at of the rows, `flushed` a position at or above the COMMIT.
CREATE PROCEDURE commit_small_group(
    writer_number bigint, next_sequence bigint, traces text, slots smallint[], numbers bigint[],
    request_tenants integer[], request_ids uuid[], digests bytea[], answers text[],
    tenants integer[], entity_ids bigint[], attribute_ids integer[], shards smallint[], kinds smallint[], times_us bigint[],
    versions bigint[], asset_type_ids integer[], source_type_ids integer[],
    ints bigint[], uints text[], doubles double precision[], bools boolean[], texts text[], octets bytea[],
    INOUT outcome text DEFAULT NULL, INOUT transaction bigint DEFAULT NULL, INOUT committed_at timestamptz DEFAULT NULL,
    INOUT flushed bigint DEFAULT NULL
) LANGUAGE plpgsql AS $$
DECLARE
    affected bigint;
BEGIN
    -- Waits are for others that store the same request: short, or left to the way that can wait long.
    PERFORM set_config('lock_timeout', '100ms', true);
    transaction := nextval('ingest_transaction');
    IF NOT (SELECT coalesce(bool_and(pg_try_advisory_xact_lock_shared(hashtextextended('atlas.entities', slot))), true) FROM unnest(slots) AS slot) THEN
        outcome := 'busy';
        ROLLBACK;
        RETURN;
    END IF;
    -- A statement of its own, after the locks: it sees what was committed before they were had.
    IF EXISTS (SELECT FROM unnest(slots, numbers) AS relied (slot, number) LEFT JOIN entity_changes AS now USING (slot)
               WHERE now.number IS DISTINCT FROM relied.number) THEN
        outcome := 'changed';
        ROLLBACK;
        RETURN;
    END IF;
    committed_at := now();
    INSERT INTO ingest_requests (tenant_id, request_id, digest, result)
    SELECT tenant_id, request_id, digest,
        convert_to(answer || ',' || (extract(epoch FROM committed_at) * 1000000)::bigint || ']', 'UTF8')
    FROM unnest(request_tenants, request_ids, digests, answers) AS request (tenant_id, request_id, digest, answer)
    ON CONFLICT (tenant_id, request_id) DO NOTHING;
    GET DIAGNOSTICS affected = ROW_COUNT;
    IF affected < cardinality(request_ids) THEN
        outcome := 'repeated';
        ROLLBACK;
        RETURN;
    END IF;
    UPDATE ingest_writers SET last_sequence = next_sequence WHERE writer = writer_number AND last_sequence = next_sequence - 1;
    IF NOT FOUND THEN
        outcome := 'lost';
        ROLLBACK;
        RETURN;
    END IF;
    INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, value_int, value_uint, value_double, value_bool,
        value_text, value_bytes, event_time, row_version, asset_type_id, source_type_id)
    SELECT tenant_id, entity_id, attribute_id, shard, kind, value_int, value_uint::numeric, value_double, value_bool,
        value_text, value_bytes, timestamptz 'epoch' + time_us * interval '1 microsecond', version + (transaction << 17),
        nullif(asset_type_id, 0), nullif(source_type_id, 0)
    FROM unnest(tenants, entity_ids, attribute_ids, shards, kinds, times_us, versions, asset_type_ids, source_type_ids,
            ints, uints, doubles, bools, texts, octets)
        AS item (tenant_id, entity_id, attribute_id, shard, kind, time_us, version, asset_type_id, source_type_id,
            value_int, value_uint, value_double, value_bool, value_text, value_bytes);
    -- Sums wrap at 64 bits, in two's complement.
    INSERT INTO ingest_batches (writer, sequence, transaction_number, row_version, entries, traceparents)
    SELECT writer_number, next_sequence, transaction, (versions[1] >> 55 << 55) + (transaction << 17),
        jsonb_agg(jsonb_build_array('entity_attributes', shard, changed,
            (mod(total + 9223372036854775808, 18446744073709551616) - 9223372036854775808)::text) ORDER BY shard), traces::jsonb
    FROM (
        SELECT shard, count(*) AS changed, sum(version + (transaction << 17)) AS total
        FROM unnest(shards, versions) AS item (shard, version) GROUP BY shard
    ) AS by_shard;
    COMMIT;
    outcome := 'committed';
    flushed := (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint;
END
$$;
REVOKE ALL ON PROCEDURE commit_small_group FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE commit_small_group TO atlas_ingest;

-- migrate:down
DROP PROCEDURE commit_small_group;
