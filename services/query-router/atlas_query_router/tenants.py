"""Tenants as a read needs them: how they name entities, and over how many shards they spread."""

from __future__ import annotations

from atlaskit.errors import AtlasError, DeadlinePassed, TenantUnknown, Unavailable
from atlaskit.model import Tenant
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.deadline import Deadline


class TenantDirectory:
    """Finds a tenant on the replica, else on the primary, and remembers it: a tenant never changes."""

    def __init__(self, replica: Tenants, primary: Tenants) -> None:
        self._replica = replica
        self._primary = primary

    async def get(self, tenant_id: int, deadline: Deadline) -> Tenant:
        """Return the tenant. Raises TenantUnknown only when the primary says so: a replica may not know it yet."""
        try:
            return await self._replica.get(tenant_id, deadline.require("looking up the tenant") / 3)
        except (TenantUnknown, Unavailable, DeadlinePassed) as on_replica:
            return await self._from_primary(tenant_id, deadline, on_replica)

    async def _from_primary(self, tenant_id: int, deadline: Deadline, on_replica: AtlasError) -> Tenant:
        try:
            return await self._primary.get(tenant_id, deadline.require("looking up the tenant on the primary"))
        except Unavailable as on_primary:
            raise Unavailable(f"tenant {tenant_id} cannot be looked up: {on_replica}; {on_primary}") from None
