"""A stack of its own, where no other sink runs, and sinks in this process that a test can hinder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from atlas_local.migrations import apply_migrations
from atlas_local.stack import LocalStack, StackOptions, local_stack
from atlas_olap_sink.app import STATES_TOPIC
from atlas_olap_sink.inserting import Inserter
from atlas_olap_sink.keeping import KafkaStates
from atlas_olap_sink.pipeline import PARTITIONS, Pipeline, Rhythm
from atlas_olap_sink.publishing import Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.repairing import Repairs
from atlas_olap_sink.store import ClickHouseStore
from atlas_olap_sink.terms import Terms
from atlas_olap_sink.traces import Traces
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clickhouse.watermark import read_watermarks
from atlaskit.clock import SystemClock
from atlaskit.errors import Unavailable
from atlaskit.kafka.consumer import Consumer, Partition, Record, open_consumer
from atlaskit.kafka.states import open_states
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.probes import SQL
from atlaskit.postgres.repair import PrimaryReader
from atlaskit.postgres.terms import source_of_epoch, texts_of
from opentelemetry.trace import NoOpTracer

EPOCH = 1 << 55
WRITER = (1 << 48) + 1


@dataclass(frozen=True)
class HinderedStore(ClickHouseStore):
    """ClickHouse whose inserts of rows are lost while `hindered` is set."""

    hindered: asyncio.Event = field(default_factory=asyncio.Event)

    async def insert(self, table: str, columns: Mapping[str, Any]) -> None:
        if self.hindered.is_set():
            raise Unavailable("hindered by the test")
        await super().insert(table, columns)


Drops: TypeAlias = Callable[[Partition, Record], bool]


class Lossy:
    """A consumer that never hands over some of the records, as if Kafka had lost them."""

    def __init__(self, consumer: Consumer, drops: Drops) -> None:
        self._consumer, self._drops = consumer, drops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def batch(self, **how: Any) -> dict[Partition, list[Record]]:
        taken = await self._consumer.batch(**how)
        kept = {at: [one for one in records if not self._drops(at, one)] for at, records in taken.items()}
        return {at: records for at, records in kept.items() if records}


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

    async def write(
        self, rows: int, shard: int, columns: str = "value_type, value_int", values: str = "1, n", *, counted: int = 0
    ) -> None:
        """Commit rows of one transaction with its row of the ledger; `n` counts them from 1.

        The ledger counts `counted` rows more than there are."""
        self.transactions += 1
        version = EPOCH + (self.transactions << 17)
        async with self.primary.transaction():
            await self.primary.execute(
                "INSERT INTO entity_attributes"
                f" (tenant_id, entity_id, attribute_id, shard, event_time, row_version, {columns})"
                " SELECT $1, $5::bigint + n, (SELECT min(attribute_id) FROM attribute_keys), $2,"
                " '2024-01-01Z'::timestamptz + n * interval '1 s',"
                f" $3::bigint + n, {values} FROM generate_series(1, $4::integer) AS n",
                self.tenant,
                shard,
                version,
                rows,
                self.transactions * 1_000_000,
            )
            total = rows * version + rows * (rows + 1) // 2
            await self._enter(version, [["entity_attributes", shard, rows + counted, str(_signed(total))]])

    async def change(self, table: str, shard: int, statement: str, *values: object) -> None:
        """Commit a statement that writes one row of a table, whose `$1` is its version, with its row of the ledger."""
        self.transactions += 1
        version = EPOCH + (self.transactions << 17)
        async with self.primary.transaction():
            await self.primary.execute(statement, version, *values)
            await self._enter(version, [[table, shard, 1, str(version)]])

    async def _enter(self, version: int, entries: list[list[object]]) -> None:
        await self.primary.execute(
            "WITH ahead AS (UPDATE ingest_writers SET last_sequence = last_sequence + 1 WHERE writer = $1"
            " RETURNING last_sequence) INSERT INTO ingest_batches"
            " (writer, sequence, transaction_number, row_version, entries)"
            " SELECT $1, last_sequence, $2, $3, $4::text::jsonb FROM ahead",
            WRITER,
            version - EPOCH >> 17,
            version,
            json.dumps(entries),
        )

    async def beat(self) -> int:
        """Commit the next beat of every table and shard and return its number."""
        self.beats += 1
        await self.primary.execute(SQL["commit_beat"], 0, self.monitor, self.beats, 1, 1000 + self.beats)
        return self.beats

    async def proven(self, shard: int, table: str = "entity_attributes") -> int:
        """Return the beat that holds for a shard of a table, 0 if none does."""
        marks = await read_watermarks(self.clickhouse, [(table, shard)])
        return max((mark.beat for mark in marks if mark.monitor == self.monitor), default=0)

    async def stored(self, extra: str = "") -> int:
        """Return the number of rows that a reader of the history counts."""
        rows = await self.clickhouse.rows(f"SELECT count() FROM entity_analytics_events FINAL {extra}")
        return int(rows[0][0])

    async def committed(self) -> int:
        """Return the number of rows of the history at the primary."""
        return int(await self.primary.fetchval("SELECT count(*) FROM entity_attributes"))

    @asynccontextmanager
    async def sink(
        self, group: str, hindered: asyncio.Event | None = None, drops: Drops | None = None
    ) -> AsyncIterator[Pipeline]:
        """Run a sink of the given group until the block ends; then it stops as on SIGTERM. It never sees `drops`."""
        stop = asyncio.Event()
        store = HinderedStore(self.clickhouse, hindered=hindered or asyncio.Event())
        async with (
            open_pool(self.stack.primary_dsn("atlas_sink"), max_size=4) as pool,
            open_consumer(self.stack.kafka_bootstrap, PARTITIONS, group=group, client_id=group) as consumer,
            open_states(self.stack.kafka_bootstrap, STATES_TOPIC) as states,
            asyncio.TaskGroup() as tasks,
        ):
            inserter = Inserter(store, Terms(partial(texts_of, pool), 1000), stop)
            source = consumer if drops is None else Lossy(consumer, drops)
            pipeline = Pipeline(
                source=source,
                states=KafkaStates(states, group),
                store=store,
                inserter=inserter,
                repairs=Repairs(PrimaryReader(pool), store, inserter),
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


@pytest.fixture(scope="package")
async def world() -> AsyncIterator[World]:
    async with local_stack(StackOptions()) as stack:
        await apply_migrations(stack)
        primary = await asyncpg.connect(stack.primary_dsn("postgres"))
        try:
            tenant = await _registered(primary)
            async with open_clickhouse(f"{stack.clickhouse_url}/atlas") as clickhouse:
                made = World(stack, clickhouse, primary, tenant)
                await made._enter(EPOCH + (1 << 17), [["attribute_keys", 0, 1, str(EPOCH + (1 << 17))]])
                yield made
        finally:
            await primary.close()


async def _registered(primary: asyncpg.Connection[asyncpg.Record]) -> int:
    await primary.execute("INSERT INTO epochs (epoch, system_identifier, timeline) VALUES (1, 42, 1)")
    tenant = await primary.fetchval(
        "INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key)"
        " VALUES ('sink', 'numbered', 10, 10, decode(repeat('00', 16), 'hex')) RETURNING tenant_id"
    )
    await primary.execute("INSERT INTO ingest_writers (writer) VALUES ($1)", WRITER)
    await primary.execute(
        "INSERT INTO attribute_keys (tenant_id, attribute_key, row_version) VALUES ($1, 'temp/°C', $2)",
        tenant,
        EPOCH + (1 << 17),
    )
    return int(tenant)


def _signed(total: int) -> int:
    return (total + (1 << 63)) % (1 << 64) - (1 << 63)
