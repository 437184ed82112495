"""PostgreSQL: pool, sessions, the store of writes. The driver and its errors do not leave this package."""
