"""A load generator for ingest: open loop, with the skew of real telemetry."""
