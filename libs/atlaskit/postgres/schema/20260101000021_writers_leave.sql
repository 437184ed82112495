-- migrate:up
-- A connection of ingest that is gone leaves the vector once every copy is proven to hold what it wrote; the sink knows that.
GRANT DELETE ON ingest_writers TO atlas_sink;

-- migrate:down
REVOKE DELETE ON ingest_writers FROM atlas_sink;
