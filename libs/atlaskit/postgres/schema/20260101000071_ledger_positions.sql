-- migrate:up
-- Where the log was when a transaction wrote its ledger row, just before its COMMIT: a read as of a token takes a delivery by it.
-- Rows from before this stand before every position. No default at once: it would rewrite the table.
ALTER TABLE ingest_batches ADD COLUMN wal_position bigint;
ALTER TABLE ingest_batches ALTER COLUMN wal_position SET DEFAULT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint;
COMMENT ON COLUMN ingest_batches.wal_position IS
    'Bytes from the start of the log, below the COMMIT of the transaction and above every position acknowledged before it.';

-- A read as of a token looks up the transaction of each delivery of its entity. It also serves what the BRIN index served.
-- squawk-ignore require-concurrent-index-creation -- an index of a partitioned table cannot be made concurrently
CREATE INDEX ingest_batches_by_row_version ON ingest_batches (row_version);
-- squawk-ignore require-concurrent-index-deletion -- nor can one of a partitioned table be dropped concurrently
DROP INDEX ingest_batches_row_version;
GRANT SELECT (created_at, row_version, wal_position) ON ingest_batches TO atlas_reader;

-- migrate:down
REVOKE SELECT (created_at, row_version, wal_position) ON ingest_batches FROM atlas_reader;
CREATE INDEX ingest_batches_row_version ON ingest_batches USING brin (row_version);
DROP INDEX ingest_batches_by_row_version;
ALTER TABLE ingest_batches DROP COLUMN wal_position;
