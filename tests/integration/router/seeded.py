"""Rows put into a fresh database as ingest would."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
from atlas_local.postgres import PostgresCluster
from atlaskit.model import Deletion, TypedValue, ValueType

HASH_KEY = b"0123456789abcdef"
COLUMNS = {
    ValueType.INT64: "value_int",
    ValueType.UINT64: "value_uint",
    ValueType.DOUBLE: "value_double",
    ValueType.BOOL: "value_bool",
    ValueType.STRING: "value_text",
    ValueType.BYTES: "value_bytes",
}
ERASURE = datetime(1969, 12, 31, tzinfo=UTC)


@dataclass
class Database:
    """One fresh database, and the rows in it; each row has a greater version than the one before."""

    cluster: PostgresCluster
    name: str
    connection: asyncpg.Connection[asyncpg.Record]
    version: int = 1 << 55
    attributes: dict[tuple[int, str], int] = field(default_factory=dict)

    def primary(self, role: str = "atlas_reader") -> str:
        return self.cluster.primary.dsn(role, self.name)

    def replica(self, role: str = "atlas_reader") -> str:
        return self.cluster.replica.dsn(role, self.name)

    async def tenant(self, identity: str = "keyed") -> int:
        tenant: int = await self.connection.fetchval(
            "INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key) VALUES ($1, $2, 1, 1000, $3) "
            "RETURNING tenant_id",
            uuid.uuid4().hex, identity, HASH_KEY,
        )  # fmt: skip
        return tenant

    async def entity(self, tenant: int, entity: int, key: str | None = None) -> None:
        await self.connection.execute(
            "INSERT INTO entities (tenant_id, entity_id, shard, entity_key, row_version) VALUES ($1, $2, $3, $4, $5)",
            tenant, entity, tenant % 10, key, self._next(),
        )  # fmt: skip

    async def attribute(self, tenant: int, key: str) -> int:
        if (tenant, key) not in self.attributes:
            self.attributes[tenant, key] = await self.connection.fetchval(
                "INSERT INTO attribute_keys (tenant_id, attribute_key, row_version) VALUES ($1, $2, $3) "
                "RETURNING attribute_id",
                tenant, key, self._next(),
            )  # fmt: skip
        return self.attributes[tenant, key]

    async def value(self, tenant: int, entity: int, key: str, when: datetime, value: TypedValue) -> None:
        attribute = await self.attribute(tenant, key)
        await self.connection.execute(
            "INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, event_time, "
            f"row_version, {COLUMNS[value.type]}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            tenant, entity, attribute, tenant % 10, value.type, when, self._next(), value.value,
        )  # fmt: skip

    async def delete(self, kind: Deletion, tenant: int, entity: int, key: str = "", when: datetime = ERASURE) -> None:
        attribute = 0 if kind is Deletion.ENTITY else await self.attribute(tenant, key)
        await self.connection.execute(
            "INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, deletion, "
            "event_time, row_version) VALUES ($1, $2, $3, $4, 0, $5, $6, $7)",
            tenant, entity, attribute, tenant % 10, kind, when, self._next(),
        )  # fmt: skip

    async def replicated(self) -> None:
        """Wait until the replica has replayed everything written so far."""
        position = await self.connection.fetchval("SELECT pg_current_wal_flush_lsn()::text")
        replica = await asyncpg.connect(self.cluster.replica.dsn(database="postgres"))
        try:
            async with asyncio.timeout(20):
                reached = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
                while not await replica.fetchval(reached, position):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        finally:
            await replica.close()

    def _next(self) -> int:
        self.version += 1
        return self.version
