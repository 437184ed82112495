"""atlas_cli."""
