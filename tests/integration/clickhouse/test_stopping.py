"""A query that nobody waits for ends at the server, and one that is too large is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clickhouse.tenancy import reading_for
from atlaskit.errors import DeadlinePassed, TooCostly
from atlaskit.rpc.errors import fault_of
from grpc import StatusCode

LONG = timedelta(seconds=60)
# Minutes of work, told from others by its number.
SLOW = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = {mark:UInt64}"
RUNNING = (
    "SELECT toFloat64(Settings['max_execution_time']) FROM system.processes "
    "WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%system.processes%'"
)


@pytest.fixture
async def one(front: Any) -> AsyncIterator[ClickHouse]:
    """A pool of a single connection."""
    async with open_clickhouse(f"{front.url}/atlas", connections=1, waiting=8) as opened:
        yield opened


async def running(clickhouse: ClickHouse) -> list[float]:
    """The limits in seconds of the slow queries that run."""
    return [row[0] for row in await clickhouse.rows(RUNNING)]


async def test_a_cancelled_query_ends_at_the_server(
    clickhouse: ClickHouse, one: ClickHouse, eventually: Callable[..., Awaitable[None]]
) -> None:
    query = asyncio.ensure_future(one.rows(SLOW, {"mark": 1}, limit=LONG))
    waiting = asyncio.ensure_future(one.rows(SLOW, {"mark": 2}, limit=LONG))

    async def runs() -> None:
        assert await running(clickhouse) == [60.0]

    async def ended() -> None:
        assert await running(clickhouse) == []

    await eventually(runs, 10)
    waiting.cancel()  # before it had a connection: it must never begin
    query.cancel()
    await eventually(ended, 10)
    for call in (query, waiting):
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await one.rows("SELECT 1", limit=timedelta(seconds=5)) == [(1,)]  # the connection is free again
    assert await running(clickhouse) == []


async def test_a_deadline_is_the_limit_of_the_query_at_the_server(
    clickhouse: ClickHouse, one: ClickHouse, eventually: Callable[..., Awaitable[None]]
) -> None:
    query = asyncio.ensure_future(one.rows(SLOW, {"mark": 3}, limit=timedelta(seconds=1.5)))

    async def limited() -> None:
        assert await running(clickhouse) == [1.5]

    async def ended() -> None:
        assert await running(clickhouse) == []

    await eventually(limited, 10)
    with pytest.raises(DeadlinePassed):
        await query
    await eventually(ended, 10)


async def test_queries_that_hang_in_one_pool_hold_up_none_of_another(
    clickhouse: ClickHouse, one: ClickHouse, eventually: Callable[..., Awaitable[None]]
) -> None:
    hanging = [asyncio.ensure_future(one.rows(SLOW, {"mark": mark}, limit=LONG)) for mark in (4, 5, 6)]

    async def runs() -> None:
        assert await running(clickhouse) == [60.0]

    await eventually(runs, 10)
    with pytest.raises(DeadlinePassed):
        await one.rows("SELECT 1", limit=timedelta(milliseconds=200))
    assert await clickhouse.rows("SELECT 1", limit=timedelta(seconds=10)) == [(1,)]
    for query in hanging:
        query.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)

    async def ended() -> None:
        assert await running(clickhouse) == []

    await eventually(ended, 10)


@pytest.mark.parametrize(
    ("settings", "sql"),
    [
        ({"max_rows_to_read": 1000}, "SELECT count() FROM numbers(5000) WHERE number % 2"),
        ({"max_memory_usage": 50_000_000}, "SELECT length(groupArray(number)) FROM numbers(50000000)"),
    ],
)
async def test_a_query_larger_than_one_may_be_is_refused_and_no_retry_is_asked_for(
    front: Any, settings: dict[str, int], sql: str
) -> None:
    async with open_clickhouse(f"{front.url}/atlas", connections=1, settings=settings) as small:
        with pytest.raises(TooCostly, match="narrow it") as refused:
            await small.rows(sql)
        assert await small.rows("SELECT 1") == [(1,)]
    fault = fault_of(refused.value)
    assert (fault.code, fault.reason, fault.retry_after) == (StatusCode.RESOURCE_EXHAUSTED, "QUERY_TOO_COSTLY", None)
    assert "SELECT" not in fault.message


async def test_a_query_names_its_tenants_to_the_server_and_one_for_nobody_names_none(front: Any) -> None:
    # The embedded engine takes no setting of ours: one of its own stands for it.
    told = "SELECT getSetting('query_cache_tag')"
    async with open_clickhouse(f"{front.url}/atlas", tenants_setting="query_cache_tag") as opened:
        with reading_for([7, 12]):
            first, task = await opened.rows(told), asyncio.ensure_future(opened.rows(told))
        assert [first, await task, await opened.rows(told)] == [[("7,12",)], [("7,12",)], [("",)]]
