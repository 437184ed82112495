"""Kafka: a consumer whose offsets are its caller's. The driver and its errors do not leave this package."""
