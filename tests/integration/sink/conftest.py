"""A stack of its own, where no other sink runs, and sinks in this process that a test can hinder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from atlas_local.migrations import apply_migrations
from atlas_local.stack import LocalStack, StackOptions, local_stack
from atlas_olap_sink.inserting import Inserter
from atlas_olap_sink.pipeline import PARTITIONS, Pipeline, Rhythm
from atlas_olap_sink.publishing import Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.store import ClickHouseStore
from atlas_olap_sink.terms import Terms
from atlas_olap_sink.traces import Traces
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clickhouse.watermark import read_watermarks
from atlaskit.clock import SystemClock
from atlaskit.errors import Unavailable
from atlaskit.kafka.consumer import open_consumer
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.terms import source_of_epoch, texts_of
from opentelemetry.trace import NoOpTracer

EPOCH = 1 << 55


@dataclass(frozen=True)
class HinderedStore(ClickHouseStore):
    """ClickHouse whose inserts of rows are lost while `hindered` is set."""

    hindered: asyncio.Event = field(default_factory=asyncio.Event)

    async def insert(self, table: str, columns: Mapping[str, Any]) -> None:
        if self.hindered.is_set():
            raise Unavailable("hindered by the test")
        await super().insert(table, columns)


@dataclass
class World:
    """Everything that a test of the sink speaks to."""

    stack: LocalStack
    clickhouse: ClickHouse
    primary: asyncpg.Connection[asyncpg.Record]
    tenant: int
    monitor: UUID = field(default_factory=uuid4)
    beats: int = 0
    transactions: int = 100

    async def write(self, rows: int, shard: int, columns: str = "value_type, value_int", values: str = "1, n") -> None:
        """Commit rows of one transaction; `n` counts them from 1."""
        self.transactions += 1
        await self.primary.execute(
            "INSERT INTO entity_attributes"
            f" (tenant_id, entity_id, attribute_id, shard, event_time, row_version, {columns})"
            " SELECT $1, $5::bigint + n, (SELECT min(attribute_id) FROM attribute_keys), $2,"
            " '2024-01-01Z'::timestamptz + n * interval '1 s',"
            f" $3::bigint + n, {values} FROM generate_series(1, $4::integer) AS n",
            self.tenant,
            shard,
            EPOCH + (self.transactions << 17),
            rows,
            self.transactions * 1_000_000,
        )

    async def beat(self) -> int:
        """Commit the next beat of every shard of the history and return its number."""
        self.beats += 1
        await self.primary.execute(
            "INSERT INTO entity_attributes_beat (place, shard, monitor, beat, epoch, lsn)"
            " SELECT 0, shard, $1, $2::bigint, 1, 1000 + $2::bigint FROM generate_series(0, 9) AS shard"
            " ON CONFLICT (place, shard) DO UPDATE SET monitor = $1, beat = $2::bigint, lsn = 1000 + $2::bigint",
            self.monitor,
            self.beats,
        )
        return self.beats

    async def proven(self, shard: int) -> int:
        """Return the beat that holds for the history of a shard, 0 if none does."""
        marks = await read_watermarks(self.clickhouse, [("entity_attributes", shard)])
        return max((mark.beat for mark in marks if mark.monitor == self.monitor), default=0)

    async def stored(self, extra: str = "") -> int:
        """Return the number of rows that a reader of the history counts."""
        rows = await self.clickhouse.rows(f"SELECT count() FROM entity_analytics_events FINAL {extra}")
        return int(rows[0][0])

    async def committed(self) -> int:
        """Return the number of rows of the history at the primary."""
        return int(await self.primary.fetchval("SELECT count(*) FROM entity_attributes"))

    @asynccontextmanager
    async def sink(self, group: str, hindered: asyncio.Event | None = None) -> AsyncIterator[Pipeline]:
        """Run a sink of the given group until the block ends; then it stops as on SIGTERM."""
        stop = asyncio.Event()
        store = HinderedStore(self.clickhouse, hindered=hindered or asyncio.Event())
        async with (
            open_pool(self.stack.primary_dsn("atlas_sink"), max_size=2) as pool,
            open_consumer(self.stack.kafka_bootstrap, PARTITIONS, group=group, client_id=group) as consumer,
            asyncio.TaskGroup() as tasks,
        ):
            pipeline = Pipeline(
                source=consumer,
                store=store,
                inserter=Inserter(store, Terms(partial(texts_of, pool), 1000), stop),
                publisher=Publisher(store, partial(source_of_epoch, pool)),
                traces=Traces(NoOpTracer()),
                quarantine=Quarantine(None),
                clock=SystemClock(),
                rhythm=Rhythm(),
                stop=stop,
            )
            running = tasks.create_task(pipeline.run())
            try:
                yield pipeline
            finally:
                stop.set()
                await asyncio.wait([running], timeout=20)
                running.cancel()


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with local_stack(StackOptions()) as stack:
        await apply_migrations(stack)
        primary = await asyncpg.connect(stack.primary_dsn("postgres"))
        try:
            tenant = await _registered(primary)
            async with open_clickhouse(f"{stack.clickhouse_url}/atlas") as clickhouse:
                yield World(stack, clickhouse, primary, tenant)
        finally:
            await primary.close()


async def _registered(primary: asyncpg.Connection[asyncpg.Record]) -> int:
    await primary.execute("INSERT INTO epochs (epoch, system_identifier, timeline) VALUES (1, 42, 1)")
    tenant = await primary.fetchval(
        "INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key)"
        " VALUES ('sink', 'numbered', 10, 10, decode(repeat('00', 16), 'hex')) RETURNING tenant_id"
    )
    await primary.execute(
        "INSERT INTO attribute_keys (tenant_id, attribute_key, row_version) VALUES ($1, 'temp/°C', $2)",
        tenant,
        EPOCH + 1,
    )
    return int(tenant)
