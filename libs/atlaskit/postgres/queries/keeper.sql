-- Statements of the keeper.

-- name: ensure_partitions
SELECT * FROM ensure_partitions($1, $2, $3);

-- name: count_old_requests
SELECT count(*) FROM ingest_requests WHERE created_at < now() - $1::interval;

-- name: forget_requests
-- A bounded number at a time, so that each transaction is short.
DELETE FROM ingest_requests WHERE (tenant_id, request_id) IN (
    SELECT tenant_id, request_id FROM ingest_requests WHERE created_at < now() - $1::interval LIMIT $2
);
