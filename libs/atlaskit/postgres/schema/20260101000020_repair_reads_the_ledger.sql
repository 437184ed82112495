-- migrate:up
-- A repair asks whether the transactions of rows that the ledger's topic did not announce were committed.
-- squawk-ignore require-concurrent-index-creation -- an index of a partitioned table cannot be made concurrently
CREATE INDEX ingest_batches_row_version ON ingest_batches USING brin (row_version);

-- migrate:down
DROP INDEX ingest_batches_row_version;
