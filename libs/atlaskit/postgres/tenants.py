"""Registered tenants."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from datetime import timedelta
from pathlib import Path

from atlaskit.errors import AlreadyExists, TenantUnknown
from atlaskit.model import EntityIdentity, Tenant
from atlaskit.postgres.pool import CONNECT_LIMIT, Pool, Row
from atlaskit.sql import load

SQL = load(Path(__file__).parent / "queries")
HASH_KEY_BYTES = 16


class Tenants:
    """Finds, registers and lists tenants. What was found is remembered, at most `limit`: a tenant never changes."""

    def __init__(self, pool: Pool, limit: int = 10_000) -> None:
        self._pool = pool
        self._limit = limit
        self._found: OrderedDict[int, Tenant] = OrderedDict()

    async def get(self, tenant_id: int, limit: timedelta = CONNECT_LIMIT) -> Tenant:
        """Return the tenant. Raises TenantUnknown."""
        found = self._found.get(tenant_id)
        if found is None:
            async with self._pool.lease(limit) as session:
                row = await session.row(SQL["find_tenant"], tenant_id, limit=limit)
            if row is None:
                raise TenantUnknown(tenant_id)
            found = self._found[tenant_id] = _tenant(row)
            if len(self._found) > self._limit:
                self._found.popitem(last=False)
        return found

    async def create(
        self, name: str, identity: EntityIdentity, spread: int, key_quota: int, limit: timedelta = CONNECT_LIMIT
    ) -> Tenant:
        """Return the tenant of this name, registered now if it was not. Raises AlreadyExists if it is another kind."""
        hash_key = secrets.token_bytes(HASH_KEY_BYTES)
        async with self._pool.lease(limit) as session:
            row = await session.row(
                SQL["insert_tenant"], name, identity.value, spread, key_quota, hash_key, limit=limit
            ) or await session.row(SQL["find_tenant_by_name"], name, limit=limit)
        assert row is not None
        tenant = _tenant(row)
        if (tenant.identity, tenant.spread, tenant.key_quota) != (identity, spread, key_quota):
            raise AlreadyExists(
                f"name: tenant {name!r} exists with entity_identity {tenant.identity}, shard_spread {tenant.spread} "
                f"and attribute_key_quota {tenant.key_quota}"
            )
        return tenant

    async def after(self, tenant_id: int, count: int, limit: timedelta = CONNECT_LIMIT) -> list[Tenant]:
        """Return up to `count` tenants with greater ids, by id."""
        async with self._pool.lease(limit) as session:
            return [_tenant(row) for row in await session.fetch(SQL["list_tenants"], tenant_id, count, limit=limit)]


def _tenant(row: Row) -> Tenant:
    return Tenant(
        tenant_id=row["tenant_id"],
        name=row["name"],
        identity=EntityIdentity(row["identity"]),
        spread=row["spread"],
        key_quota=row["key_quota"],
        entity_hash_key=row["entity_hash_key"],
        created_at=row["created_at"],
    )
