"""The copies that must answer alike, and how the same rows come into each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from atlas_local.postgres import PostgresCluster
from atlaskit.clickhouse import grouping, searching
from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clickhouse.table import insert
from atlaskit.clock import SystemClock
from atlaskit.model import ValueType
from atlaskit.postgres.pool import Pool
from atlaskit.postgres.reader import Reader, reading
from atlaskit.postgres.rendering import COLUMN
from atlaskit.selection.searches import EntitySearch, Found, Group, GroupSearch
from doubles.value_model import ModelEntity, Row

LIMIT = timedelta(seconds=20)
ERASURE = datetime(1969, 12, 31, tzinfo=UTC)
IN_CLICKHOUSE = {
    ValueType.INT64: "value_int64",
    ValueType.UINT64: "value_uint64",
    ValueType.DOUBLE: "value_double",
    ValueType.BOOL: "value_bool",
    ValueType.STRING: "value_string",
    ValueType.BYTES: "value_bytes",
}
EMPTY: dict[ValueType, Any] = {
    ValueType.INT64: 0,
    ValueType.UINT64: 0,
    ValueType.DOUBLE: 0.0,
    ValueType.BOOL: False,
    ValueType.STRING: "",
    ValueType.BYTES: b"",
}


@dataclass
class Copies:
    """The three stores."""

    primary: Pool
    replica: Pool
    clickhouse: ClickHouse

    async def search(self, search: EntitySearch, *names: str) -> dict[str, list[Found]]:
        """Return what each of these copies answers, or all."""
        answers = {}
        for name, pool in self._pools(names):
            async with reading(pool, (search.tenant_id,), LIMIT) as reader:
                await self._probe(reader, name)
                answers[name] = await reader.search(search)
        if not names or "olap" in names:
            answers["olap"] = await searching.search(self.clickhouse, search, limit=LIMIT)
        return answers

    async def groups(self, search: GroupSearch, *names: str) -> dict[str, list[Group]]:
        """Return what each of these copies answers, or all."""
        answers = {}
        for name, pool in self._pools(names):
            async with reading(pool, search.tenant_ids, LIMIT) as reader:
                await self._probe(reader, name)
                answers[name] = await reader.groups(search)
        if not names or "olap" in names:
            answers["olap"] = await grouping.groups(self.clickhouse, search, limit=LIMIT)
        return answers

    def _pools(self, names: Sequence[str]) -> list[tuple[str, Pool]]:
        every = [("primary", self.primary), ("replica", self.replica)]
        return [(name, pool) for name, pool in every if not names or name in names]

    @staticmethod
    async def _probe(reader: Reader, name: str) -> None:
        await (reader.probe_primary(SystemClock()) if name == "primary" else reader.probe_replica())


@dataclass(slots=True)
class _Numbers:
    """The numbers that the dictionaries of a tenant give to texts, each inserted when it is first asked for."""

    connection: asyncpg.Connection[asyncpg.Record]
    known: dict[tuple[str, int, str], int] = field(default_factory=dict)

    async def asset_type(self, tenant: int, text: str) -> int:
        return await self._number("asset_type", "asset_types", "asset_type", tenant, text)

    async def attribute(self, tenant: int, text: str) -> int:
        return await self._number("attribute", "attribute_keys", "attribute_key", tenant, text)

    async def _number(self, kind: str, table: str, column: str, tenant: int, text: str) -> int:
        if (kind, tenant, text) not in self.known:
            number = await self.connection.fetchval(
                f"INSERT INTO {table} (tenant_id, {column}, row_version) VALUES ($1, $2, 1) RETURNING {kind}_id",
                tenant,
                text,
            )
            self.known[kind, tenant, text] = number
        return self.known[kind, tenant, text]


async def fill_postgres(
    connection: asyncpg.Connection[asyncpg.Record], entities: Sequence[ModelEntity], rows: Sequence[Row]
) -> None:
    """Write all of it."""
    numbers = _Numbers(connection)
    for tenant in sorted({one.tenant for one in entities}):
        await connection.execute(
            "INSERT INTO tenants (tenant_id, name, identity, spread, key_quota, entity_hash_key) "
            "OVERRIDING SYSTEM VALUE VALUES ($1, $2, 'keyed', 1, 1000, $3)",
            tenant, f"tenant {tenant}", b"0123456789abcdef",
        )  # fmt: skip
    sources = {}
    for text in sorted({row.source_type for row in rows} - {""}):
        sources[text] = await connection.fetchval(
            "INSERT INTO source_types (source_type) VALUES ($1) RETURNING source_type_id", text
        )
    for one in entities:
        kind = await numbers.asset_type(one.tenant, one.asset_type) if one.asset_type else None
        await connection.execute(
            "INSERT INTO entities (tenant_id, entity_id, shard, entity_key, asset_type_id, row_version, deleted) VALUES ($1, $2, 0, $3, $4, 1, $5)",
            one.tenant, one.entity, one.key or None, kind, one.deleted,
        )  # fmt: skip
    for row in rows:
        attribute = await numbers.attribute(row.tenant, row.attribute) if row.attribute else 0
        await _add_value(connection, row, attribute, sources.get(row.source_type))


async def _add_value(
    connection: asyncpg.Connection[asyncpg.Record], row: Row, attribute: int, source: int | None
) -> None:
    column = "value_int" if row.value is None else COLUMN[row.value.type]
    await connection.execute(
        "INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, deletion, event_time, row_version, "
        f"source_type_id, {column}) VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9)",
        row.tenant, row.entity, attribute, 0 if row.value is None else row.value.type, row.deletion, row.at, row.version,
        source, None if row.value is None else row.value.value,
    )  # fmt: skip


async def replicated(connection: asyncpg.Connection[asyncpg.Record], cluster: PostgresCluster) -> None:
    """Return once the replica has what was written."""
    position = await connection.fetchval("SELECT pg_current_wal_flush_lsn()::text")
    replica = await asyncpg.connect(cluster.replica.dsn())
    async with asyncio.timeout(20):
        while not await replica.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", position):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await replica.close()


async def fill_clickhouse(clickhouse: ClickHouse, entities: Sequence[ModelEntity], rows: Sequence[Row]) -> None:
    """Write all of it, in several parts, so that versions of a row meet only when they are read."""
    await insert(clickhouse, "entities", {
        "tenant_id": [one.tenant for one in entities],
        "entity_id": [one.entity for one in entities],
        "entity_key": [one.key for one in entities],
        "asset_type": [one.asset_type for one in entities],
        "created_at": [1_700_000_000_000_000] * len(entities),
        "row_version": [1] * len(entities),
        "deleted": [one.deleted for one in entities],
    })  # fmt: skip
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        columns: dict[str, list[Any]] = {
            "tenant_id": [row.tenant for row in part],
            "entity_id": [row.entity for row in part],
            "attribute_key": [row.attribute for row in part],
            "attribute_type": ["NONE" if row.value is None else row.value.type.name for row in part],
            "event_timestamp": [row.at for row in part],
            "ingestion_timestamp": [1_700_000_000_000_000] * len(part),
            "row_version": [row.version for row in part],
            "deletion": [int(row.deletion) for row in part],
            "source_type": [row.source_type for row in part],
        }
        for kind, name in IN_CLICKHOUSE.items():
            columns[name] = [
                EMPTY[kind] if row.value is None or row.value.type is not kind else row.value.value for row in part
            ]
        await insert(clickhouse, "entity_analytics_events", columns)
