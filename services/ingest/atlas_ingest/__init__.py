"""atlas_ingest."""
