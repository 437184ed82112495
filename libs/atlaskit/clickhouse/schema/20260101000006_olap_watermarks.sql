-- migrate:up
-- Every row of the table and shard that was committed before this beat of this monitor can be read here.
CREATE TABLE IF NOT EXISTS olap_watermarks
(
    table_name LowCardinality(String),
    shard UInt8,
    monitor UUID COMMENT 'beats of two monitors do not compare',
    beat UInt64,
    epoch UInt8,
    timeline UInt32,
    system_identifier String,
    lsn UInt64 COMMENT 'flushed write-ahead log when the beat was stamped, in bytes',
    incarnation UUID COMMENT 'of the server that took the rows; the row proves nothing under another one'
)
ENGINE = ReplacingMergeTree(beat)
ORDER BY (table_name, shard, monitor)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0

-- migrate:down
DROP TABLE IF EXISTS olap_watermarks
