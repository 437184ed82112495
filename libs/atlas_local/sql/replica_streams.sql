-- 'streaming' while the replica receives WAL from its primary, nothing otherwise.
SELECT status FROM pg_stat_wal_receiver;
