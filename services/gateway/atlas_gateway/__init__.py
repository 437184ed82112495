"""atlas_gateway."""
