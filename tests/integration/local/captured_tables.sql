-- As little of the platform's schema as shows where Debezium puts a row: one sharded table with its beat, one of one partition.
CREATE TABLE entities (id bigint PRIMARY KEY, shard smallint NOT NULL, note text);
CREATE TABLE entities_beat (shard smallint PRIMARY KEY, beat bigint NOT NULL);
CREATE TABLE attribute_keys (id bigint PRIMARY KEY, shard smallint NOT NULL, attribute_key text);
CREATE PUBLICATION atlas_publication FOR TABLE entities, entities_beat, attribute_keys
WITH (publish = 'insert, update, delete', publish_via_partition_root = true);
