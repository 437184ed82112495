-- migrate:up
CREATE TABLE epochs (
    epoch smallint PRIMARY KEY CHECK (epoch BETWEEN 1 AND 255),
    system_identifier bigint NOT NULL,
    timeline integer NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (system_identifier, timeline)
);
COMMENT ON TABLE epochs IS 'One number for each cluster and timeline on which writes were accepted; registered by the lag monitor.';

-- One number a transaction, taken after the last request in it has arrived; never in blocks, or order would be lost.
CREATE SEQUENCE ingest_transaction AS bigint MINVALUE 1 MAXVALUE 274877906943 CACHE 1 NO CYCLE;
CREATE SEQUENCE ingest_writer AS bigint MINVALUE 1 MAXVALUE 281474976710655 CACHE 1 NO CYCLE;

CREATE TABLE ingest_writers (
    -- epoch * 2^48 + nextval('ingest_writer')
    writer bigint PRIMARY KEY,
    last_sequence bigint NOT NULL DEFAULT 0 CHECK (last_sequence >= 0),
    backend_pid integer NOT NULL DEFAULT pg_backend_pid(),
    registered_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE ingest_writers IS 'One row a database connection of ingest. A beat carries all of them as its vector.';

CREATE TABLE ingest_batches (
    writer bigint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    transaction_number bigint NOT NULL CHECK (transaction_number > 0),
    shard smallint NOT NULL DEFAULT 0 CHECK (shard = 0),
    -- epoch and transaction number with index 0
    row_version bigint NOT NULL CHECK (row_version > 0),
    -- [[table, shard, rows changed, sum of their row versions modulo 2^64 in two's complement, as text], ...]
    entries jsonb NOT NULL,
    -- W3C traceparent of each request in the transaction that is sampled, at most 64
    traceparents jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (writer, sequence, created_at)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE ingest_batches IS 'The ledger: one row a transaction that wrote captured tables, gapless by writer. Also the carrier of traces.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ingest_batches FOR EACH ROW EXECUTE FUNCTION refuse_change();
SELECT guard_against_truncate('ingest_batches');

CREATE TABLE ingest_requests (
    tenant_id integer NOT NULL REFERENCES tenants,
    request_id uuid NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    -- The encoded answer, given again for a repeat.
    result bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, request_id)
);
COMMENT ON TABLE ingest_requests IS 'Answers already given, kept for 24 hours.';
CREATE INDEX ingest_requests_created_at ON ingest_requests USING brin (created_at);

-- migrate:down
DROP TABLE ingest_requests, ingest_batches, ingest_writers, epochs;
DROP SEQUENCE ingest_writer, ingest_transaction;
