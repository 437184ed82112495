-- The one database of the platform.
CREATE DATABASE atlas_telemetry;
