-- Statements of the sink.

-- name: marked_places
-- Tables and shards that a watermark was ever published for, under whatever incarnation.
SELECT DISTINCT toString(table_name), shard FROM olap_watermarks;
