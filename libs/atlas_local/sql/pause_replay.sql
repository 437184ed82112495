-- Applied WAL stays where it is until resume_replay.sql; receiving goes on.
SELECT pg_wal_replay_pause();
