"""PostgreSQL as far as the services use it: commit order, positions, snapshots, replay, crash and promotion."""
