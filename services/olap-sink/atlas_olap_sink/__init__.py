"""atlas_olap_sink."""
