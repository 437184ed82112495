"""atlas_local."""
