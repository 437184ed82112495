-- A slot left by a copy that was cut off would refuse the next one its name.
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'atlas_replica' AND NOT active;
