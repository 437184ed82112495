"""atlas_lag_monitor."""
