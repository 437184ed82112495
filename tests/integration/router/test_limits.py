"""A read ends when its caller does not wait any more, and never holds up a read of another class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.clickhouse.pool import open_clickhouse
from atlaskit.model import entity_id_of
from atlaskit.postgres.pool import Session
from atlaskit.rpc.errors import errors_from
from doubles.front import Front
from doubles.front import running as started
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode, aio

from .seeded import HASH_KEY, Database
from .worlds import World, routed

# A view as it was, beside a minute of work in front of its first row; few enough rows for the limit on what is read.
SLOWLY = (
    "SELECT v.* FROM ({}) AS v CROSS JOIN "
    "(SELECT number FROM numbers(90000000) WHERE cityHash64(repeat(toString(number), 500)) = 1) AS s"
)
PRIMARY, REPLICA, OLAP = fpb.DATA_SOURCE_PRIMARY, fpb.DATA_SOURCE_REPLICA, fpb.DATA_SOURCE_OLAP
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'atlas-query-router-%' AND state = 'active' "
    "AND datname = current_database()"
)


def entity(tenant: int) -> pb.GetEntityRequest:
    return pb.GetEntityRequest(tenant_id=tenant, entity_key="e")


def figures(tenant: int) -> pb.AggregateAttributeRequest:
    count = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_COUNT)]
    return pb.AggregateAttributeRequest(tenant_ids=[tenant], attribute_key="k", aggregations=count)


def called(world: World, request: Any, source: Any, seconds: float = 60, policy: Any = None) -> Any:
    old = Duration(seconds=600)
    request.freshness.CopyFrom(fpb.FreshnessRequirement(only_source=source, max_staleness=old, policy=policy))
    return getattr(world.router, type(request).__name__.removesuffix("Request"))(request, timeout=seconds)


async def cancelled(
    call: Any,
    eventually: Callable[..., Awaitable[None]],
    runs: Callable[[], Awaitable[None]],
    ended: Callable[[], Awaitable[None]],
) -> None:
    """Cancel a call once its work runs at the store, and see that work end there."""
    sent = asyncio.ensure_future(call)
    await eventually(runs)
    call.cancel()
    await eventually(ended, 5.0)
    with pytest.raises(asyncio.CancelledError):
        await sent


@dataclass
class Server:
    """One server of the router, seen from the side."""

    connection: asyncpg.Connection[asyncpg.Record]

    async def running(self) -> int:
        """How many statements of the router it runs."""
        found: int = await self.connection.fetchval(RUNNING)
        return found

    async def is_locked(self, table: str) -> None:
        lock = "SELECT FROM pg_locks WHERE relation = $1::regclass AND mode = 'AccessExclusiveLock' AND granted"
        assert await self.connection.fetchval(f"SELECT EXISTS ({lock})", table)


@asynccontextmanager
async def held_up(
    database: Database, source: int, table: str, eventually: Callable[..., Awaitable[None]]
) -> AsyncIterator[Server]:
    """Hold every read of a table up for the block: on the primary, and once its log is there on the replica."""
    dsn = database.primary("postgres") if source == PRIMARY else database.replica("postgres")
    blocker, connection = await asyncpg.connect(database.primary("postgres")), await asyncpg.connect(dsn)
    server = Server(connection)
    try:
        await blocker.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        # A commit takes the log of the lock along; by itself that may stay in a buffer.
        await database.connection.execute("INSERT INTO source_types (source_type) VALUES (gen_random_uuid()::text)")
        await eventually(lambda: server.is_locked(table), 10)
        yield server
    finally:
        await blocker.close()
        await connection.close()


@pytest.mark.parametrize("source", [PRIMARY, REPLICA])
@pytest.mark.parametrize("request_of", [entity, figures])
async def test_cancelling_a_call_cancels_its_statement(
    world: World, eventually: Callable[..., Awaitable[None]], source: int, request_of: Callable[[int], Any]
) -> None:
    async with held_up(world.database, source, "attribute_keys", eventually) as server:
        call = called(world, request_of(world.tenant), source)

        async def waits() -> None:
            assert await server.running() == 1

        async def ended() -> None:
            assert await server.running() == 0

        await cancelled(call, eventually, waits, ended)


@pytest.fixture
def slow_front(tmp_path: Path) -> Iterator[Front]:
    """A ClickHouse in which every read of a tenant's values or entities takes a minute."""
    for front in started(Front(tmp_path / "front")):
        front.migrate()
        with httpx.Client(base_url=front.url, params={"database": "atlas"}, timeout=30) as http:
            for view in ("tenant_entities", "visible_entity_values"):
                asked = f"SELECT as_select FROM system.tables WHERE name = '{view}' FORMAT TSVRaw"
                slow = SLOWLY.format(http.post("/", content=asked).raise_for_status().text)
                http.post("/", content=f"CREATE OR REPLACE VIEW {view} AS {slow}").raise_for_status()
        yield front


@pytest.mark.parametrize("request_of", [entity, figures])
async def test_cancelling_a_call_cancels_its_queries_in_clickhouse(
    database: Database, eventually: Callable[..., Awaitable[None]], slow_front: Front, request_of: Callable[[int], Any]
) -> None:
    url = f"{slow_front.url}/atlas"
    async with routed(database, eventually, clickhouse_url=url) as world, open_clickhouse(url) as clickhouse:

        async def run(expected: bool) -> None:
            mine = "match(query, 'tenant_entities|visible_entity_values') AND NOT match(query, 'system')"
            [(found,)] = await clickhouse.rows(f"SELECT count() FROM system.processes WHERE {mine}")
            assert bool(found) is expected  # an entity and its values are two

        call = called(world, request_of(world.tenant), OLAP, policy=fpb.FRESHNESS_POLICY_DEGRADE)
        await cancelled(call, eventually, partial(run, True), partial(run, False))


async def test_a_deadline_ends_the_statement_and_is_its_timeout_at_the_server(
    world: World, eventually: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    plain = Session.fetch

    async def noted(self: Session, sql: str, *values: Any, **options: Any) -> Any:
        if "entity_attributes" in sql:
            limits.append(await self.value("SELECT setting::integer FROM pg_settings WHERE name = 'statement_timeout'"))
        return await plain(self, sql, *values, **options)

    monkeypatch.setattr(Session, "fetch", noted)
    async with held_up(world.database, PRIMARY, "attribute_keys", eventually) as server:
        with pytest.raises(aio.AioRpcError) as late:
            await called(world, entity(world.tenant), PRIMARY, seconds=1.0)
        assert late.value.code() in (StatusCode.DEADLINE_EXCEEDED, StatusCode.UNAVAILABLE)

        async def ended() -> None:
            assert await server.running() == 0

        await eventually(ended, 5.0)
    assert limits
    # In milliseconds; a caller's deadline arrives rounded up a little.
    assert all(0 < limit <= 1100 for limit in limits), limits


async def test_analytical_reads_that_hang_hold_up_no_operational_read(
    database: Database, eventually: Callable[..., Awaitable[None]]
) -> None:
    few = {"primary_connections": 1, "primary_analytical_connections": 1, "tenant_analytical_reads": 1}
    async with routed(database, eventually, **few, tenant_analytical_waiting=1) as world:
        other = await free_tenant(world)
        leaf = await world.database.connection.fetchval(
            "SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = "
            "(SELECT tableoid FROM entity_attributes WHERE tenant_id = $1 LIMIT 1)", world.tenant,
        )  # fmt: skip
        async with held_up(database, PRIMARY, leaf, eventually) as server:
            hanging = [asyncio.ensure_future(called(world, figures(world.tenant), PRIMARY)) for _ in range(2)]

            async def hangs() -> None:
                assert await server.running() == 1

            await eventually(hangs)
            with pytest.raises(aio.AioRpcError) as full:
                await called(world, figures(world.tenant), PRIMARY, seconds=20)
            told = errors_from(full.value)
            assert (told.code, told.remote_reason) == (StatusCode.RESOURCE_EXHAUSTED, "TENANT_READS_FULL")
            assert told.retry_after is not None
            assert told.retry_after > timedelta(0)
            assert (await called(world, entity(other), PRIMARY, seconds=20)).entity.entity_key == "e"
            assert not any(call.done() for call in hanging)
        answers = await asyncio.gather(*hanging)
        assert [answer.groups[0].results[0].count for answer in answers] == [1, 1]


async def free_tenant(world: World) -> int:
    """A tenant with an entity, in another leaf than the tenant of the world."""
    place = "SELECT tableoid::regclass::text FROM entities WHERE tenant_id = $1"
    taken = await world.database.connection.fetchval(place, world.tenant)
    while True:
        tenant = await world.database.tenant()
        await world.database.entity(tenant, entity_id_of(HASH_KEY, "e"), "e")
        if await world.database.connection.fetchval(place, tenant) != taken:
            return tenant
