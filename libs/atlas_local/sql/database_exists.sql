-- 1 if the database of the platform exists.
SELECT 1 FROM pg_database WHERE datname = 'atlas_telemetry';
