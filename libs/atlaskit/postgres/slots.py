"""Slots of tenants: each has a lock that writes share and a delete of an entity has alone, and a number of changes."""

from __future__ import annotations

SLOTS = 64  # of all tenants: few enough for one transaction to lock them all


def slot_of(tenant_id: int) -> int:
    """Return the slot of a tenant, which it shares with others."""
    return tenant_id % SLOTS
