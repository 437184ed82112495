"""atlas_client."""
