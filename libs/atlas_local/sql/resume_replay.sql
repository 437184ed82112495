-- Ends what pause_replay.sql began.
SELECT pg_wal_replay_resume();
