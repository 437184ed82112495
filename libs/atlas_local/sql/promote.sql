-- Ends recovery on a timeline of its own and waits until writes are taken; fails when that takes a minute.
SELECT 1 / pg_promote(wait => true, wait_seconds => 60)::integer;
