-- migrate:up
-- A beat goes the way of the rows: the connector routes each sibling table into its table's topic, and shard s to partition
-- s, so that it queues behind every row committed before it. Rows are updated in place; a place belongs to the monitor that
-- holds its advisory lock.
DO $$
DECLARE
    captured text;
BEGIN
    FOREACH captured IN ARRAY ARRAY['entities', 'entity_hot_attributes', 'entity_attributes', 'attribute_keys', 'asset_types', 'ingest_batches'] LOOP
        EXECUTE format($table$
            CREATE TABLE %I (
                place smallint NOT NULL CHECK (place BETWEEN 0 AND 7),
                shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 9),
                monitor uuid NOT NULL,
                beat bigint NOT NULL CHECK (beat > 0),
                epoch smallint NOT NULL CHECK (epoch BETWEEN 1 AND 255),
                -- Flush position in bytes, read after the beat's instant and before its commit.
                lsn bigint NOT NULL CHECK (lsn > 0),
                PRIMARY KEY (place, shard)
            ) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0)
        $table$, captured || '_beat');
        EXECUTE format('ALTER TABLE %I REPLICA IDENTITY FULL', captured || '_beat');
    END LOOP;
END
$$;
-- Last committed sequence of each writer, read in the beat's transaction: {"writer": sequence, ...}.
-- squawk-ignore adding-required-field -- the table was made empty just above
ALTER TABLE ingest_batches_beat ADD COLUMN vector jsonb NOT NULL;

CREATE TABLE primary_beat (
    place smallint PRIMARY KEY CHECK (place BETWEEN 0 AND 7),
    monitor uuid NOT NULL,
    beat bigint NOT NULL CHECK (beat > 0)
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE primary_beat IS 'Committed every 25 ms to prove that the primary still acknowledges. Not published.';

CREATE PUBLICATION atlas_publication FOR TABLE
    entities, entity_hot_attributes, entity_attributes, attribute_keys, asset_types, ingest_batches,
    entities_beat, entity_hot_attributes_beat, entity_attributes_beat, attribute_keys_beat, asset_types_beat, ingest_batches_beat
    WITH (publish = 'insert, update, delete', publish_via_partition_root = true);

-- migrate:down
DROP PUBLICATION atlas_publication;
DROP TABLE primary_beat, entities_beat, entity_hot_attributes_beat, entity_attributes_beat, attribute_keys_beat, asset_types_beat, ingest_batches_beat;
