"""Faults of the stores and of what runs between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import asyncpg
from aiokafka import AIOKafkaProducer
from atlas_local.faults.failover import fail_over
from atlas_local.faults.stores import begin_anew, cut_topic, lose_newest_parts, restart_connector
from atlaskit.cdc.topics import HISTORY, LEDGER
from checker.history import WritesLost
from checker.index import position_of
from checker.processes.copies import surviving
from checker.processes.notebook import now
from checker.processes.schedule import Planned
from checker.processes.workload import Workload
from checker.processes.world import World

POWER_LOSS_SECONDS = 5.0
HISTORY_TABLES = ("entity_analytics_events",)
TOPICS = (HISTORY.name, LEDGER.name)
SLOT = "debezium_atlas_slot"
# After these a change stream is claimed again only once an operator has accepted it.
TO_BE_ACCEPTED = frozenset({"slot_dropped", "failover", "unpublished"})
CONFLICT_PERIOD = 0.2  # seconds between two locks that the replica has to follow


def chosen(planned: Planned) -> str:
    """Return a topic that the schedule chose by the moment of the fault."""
    return TOPICS[round(planned.after * 10) % len(TOPICS)]


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Yield a connection of its own, and close it."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def accept_changes(world: World) -> NoReturn:
    """Say that the change stream is whole again, whenever the monitor has noticed that it was not.

    It is what an operator does once the stream runs; what it missed is for the audit to find."""
    while True:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with session(world.pair.primary.dsn()) as primary:
                await primary.execute(
                    "SELECT accept_change_stream(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND active",
                    SLOT,
                )
        await asyncio.sleep(1.0)


@asynccontextmanager
async def replay_paused(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """The replica receives and does not apply."""
    await world.pair.standby.pause_replay()
    try:
        yield
    finally:
        await world.pair.standby.resume_replay()


@asynccontextmanager
async def connector_restarted_in_mid_copy(world: World, load: Workload, planned: Planned) -> AsyncIterator[None]:
    """The connector begins anew while it reads thousands of rows of one COPY."""
    async with asyncio.TaskGroup() as group:
        group.create_task(load.load(load.tenants[0]), name="load")
        await restart_connector(world.stack.connect_url)
        yield


@asynccontextmanager
async def parts_lost(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """A power loss takes from ClickHouse what it acknowledged in its last seconds."""
    await lose_newest_parts(world.stack, HISTORY_TABLES, POWER_LOSS_SECONDS)
    yield


@asynccontextmanager
async def row_lost(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """One row, of the data or of the ledger, never reaches the sink."""
    await world.lose_row(chosen(planned))
    yield


@asynccontextmanager
async def failed_over(world: World, load: Workload, planned: Planned) -> AsyncIterator[None]:
    """The primary dies and the standby takes over; what it had not received is lost, and noted as lost."""
    notes = load.notes
    epoch = max((position[0] for token in notes.tokens.values() if (position := position_of(token))), default=0)
    await fail_over(world.stack, world.links, world.pair)
    held = await surviving(world.pair, load.tenants)
    lost = tuple(sorted(op for op, values in notes.acknowledged(epoch).items() if not values <= held))
    notes.history.append(WritesLost(now(), lost, epoch + 1))
    await begin_anew(world.stack.connect_url)
    yield


@asynccontextmanager
async def replay_conflicts(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """Replay cancels the queries of the replica again and again: it may wait for none, and has locks to follow."""
    async with session(world.pair.standby.dsn()) as standby, session(world.pair.primary.dsn()) as primary:
        await _set(standby, "max_standby_streaming_delay", "0")
        async with asyncio.TaskGroup() as group:
            locking = group.create_task(_lock(primary))
            try:
                yield
            finally:
                locking.cancel()
        await _set(standby, "max_standby_streaming_delay", None)


async def _lock(primary: asyncpg.Connection[asyncpg.Record]) -> None:
    while True:
        async with primary.transaction():
            await primary.execute("LOCK TABLE entity_attributes, entities IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(CONFLICT_PERIOD)


async def _set(server: asyncpg.Connection[asyncpg.Record], name: str, value: str | None) -> None:
    await server.execute(f"ALTER SYSTEM RESET {name}" if value is None else f"ALTER SYSTEM SET {name} = {value}")
    await server.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def transaction_hangs(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """Somebody began a transaction, wrote into a captured table, and thinks about it; then it is rolled back."""
    async with session(world.pair.primary.dsn()) as primary:
        await primary.execute("BEGIN")
        await primary.execute("INSERT INTO asset_types (tenant_id, asset_type, row_version) VALUES (1, 'thinking', 1)")
        yield
        await primary.execute("ROLLBACK")


@asynccontextmanager
async def kafka_transaction_hangs(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """A foreign producer has a transaction open in a topic: nothing behind it can be read as committed."""
    producer = AIOKafkaProducer(
        bootstrap_servers=world.stack.kafka_bootstrap,
        transactional_id=f"hanging-{now()}",
        transaction_timeout_ms=60_000,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        for partition in range(HISTORY.partitions):
            await producer.send_and_wait(HISTORY.name, b"{}", partition=partition)
        yield
        await producer.abort_transaction()
    finally:
        await producer.stop()


@asynccontextmanager
async def slot_dropped(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """The connector is away, its slot is dropped, and what is committed until it makes another is never sent."""
    connect = world.stack.connect
    connect.kill()
    async with session(world.pair.primary.dsn()) as primary:
        async with asyncio.timeout(30):
            while True:
                with suppress(asyncpg.ObjectInUseError):
                    await primary.execute("SELECT pg_drop_replication_slot($1)", SLOT)
                    break
                await asyncio.sleep(0.1)
    yield
    await connect.start()
    await begin_anew(world.stack.connect_url)


@asynccontextmanager
async def topic_cut(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """The sink is away for longer than the topic keeps its records."""
    sink = world.atlas.process("olap-sink")
    sink.kill()
    yield
    await cut_topic(world.stack.kafka_bootstrap, chosen(planned))
    await sink.start()


@asynccontextmanager
async def unpublished(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    """The history is missing in the publication for a while; its beats are not."""
    async with session(world.pair.primary.dsn()) as primary:
        await primary.execute("ALTER PUBLICATION atlas_publication DROP TABLE entity_attributes")
        try:
            yield
        finally:
            await primary.execute("ALTER PUBLICATION atlas_publication ADD TABLE entity_attributes")
