"""atlas_keeper."""
