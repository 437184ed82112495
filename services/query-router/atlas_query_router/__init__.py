"""atlas_query_router."""
