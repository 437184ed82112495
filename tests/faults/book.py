"""Writers with a book: what they sent, what was acknowledged, and what the primary holds of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from atlas_client import AtlasClient, CallFailed, ColumnBuilder, Tenant, Written
from atlas_local.process import until
from grpc import aio

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 20  # values of one batch; value v is observed v seconds after BEGIN, so that each is written once
STORED = "SELECT value_int, event_time, count(*) AS times FROM entity_attributes WHERE tenant_id = $1 GROUP BY 1, 2"


class Attempts(aio.UnaryUnaryClientInterceptor):  # type: ignore[misc,unused-ignore]
    """Counts what goes over the wire, retries of the client included."""

    def __init__(self) -> None:
        self.count = 0

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.count += 1
        return await continuation(details, request)


@dataclass
class Book:
    """What was asked of one tenant, by the number of the batch."""

    tenant: Tenant
    sent: set[int] = field(default_factory=set)
    acknowledged: dict[int, Written] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    def request_id(self, number: int) -> str:
        return f"{self.tenant.tenant_id:08x}-0000-4000-8000-{number:012x}"


def values_of(number: int) -> range:
    return range(number * ROWS, (number + 1) * ROWS)


async def write(client: AtlasClient, book: Book, number: int, *, seconds: float = 60.0, plus: int = 0) -> Written:
    """Send a batch with the client's own retries; `plus` makes another content under the same request id."""
    builder = ColumnBuilder()
    for value in values_of(number):
        builder.add(f"e{value % 50}", f"k{value % 3}", value + plus, BEGIN + timedelta(seconds=value))
    book.calls += 1
    return await client.write_columns(
        book.tenant.tenant_id,
        builder.build(),
        request_id=book.request_id(number),
        timeout=timedelta(seconds=seconds),
    )


async def write_until_acknowledged(client: AtlasClient, book: Book, number: int) -> None:
    """Write a batch and take note of it; a call that failed is made again, as a caller that must not lose would."""
    book.sent.add(number)
    while True:
        try:
            written = await write(client, book, number)
        except CallFailed as failure:
            book.failures[f"{failure.code.name} {failure.reason}"] += 1
            await asyncio.sleep(0.2)
            continue
        assert (written.stored, written.refused) == (ROWS, 0)
        book.acknowledged[number] = written
        return


async def keep_writing(
    client: AtlasClient, book: Book, numbers: Iterator[int], over: asyncio.Event, pause: float
) -> None:
    while not over.is_set():
        await write_until_acknowledged(client, book, next(numbers))
        await asyncio.sleep(pause)


async def keep_cancelling(
    client: AtlasClient, book: Book, numbers: Iterator[int], over: asyncio.Event, seed: int
) -> None:
    """Write batches of which many are cancelled on their way; every second of those is sent again, the others never."""
    chance = random.Random(seed)
    while not over.is_set():
        number = next(numbers)
        book.sent.add(number)
        try:
            async with asyncio.timeout(chance.uniform(0.0, 0.015)):
                written = await write(client, book, number)
        except (TimeoutError, CallFailed) as failure:
            if isinstance(failure, TimeoutError):
                book.cancelled.add(number)
            if chance.random() < 0.5:
                await write_until_acknowledged(client, book, number)
        else:
            book.acknowledged[number] = written


@asynccontextmanager
async def counted_client(address: str) -> AsyncIterator[tuple[AtlasClient, Attempts]]:
    """Yield a client of one ingest that counts its attempts."""
    attempts = Attempts()
    async with (
        aio.insecure_channel(address, interceptors=[attempts]) as ingest,
        aio.insecure_channel(address) as query,
    ):
        yield AtlasClient(ingest, query), attempts


async def until_acknowledged(book: Book, more: int, seconds: float = 60.0) -> None:
    """Return when so many more batches are acknowledged."""
    wanted = len(book.acknowledged) + more
    async with asyncio.timeout(seconds):
        await until(lambda: len(book.acknowledged) >= wanted, every=0.01)


async def expect_exactly_once(dsn: str, book: Book) -> None:
    """Every acknowledged value is there once; of the rest a batch is there once and whole, or not at all."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(STORED, book.tenant.tenant_id)
    finally:
        await connection.close()
    assert [row for row in rows if row["times"] != 1] == []
    found = {row["value_int"]: row["event_time"] for row in rows}
    assert all(moment == BEGIN + timedelta(seconds=value) for value, moment in found.items())
    lost = [number for number in book.acknowledged if any(value not in found for value in values_of(number))]
    assert lost == []
    held = Counter(value // ROWS for value in found)
    assert set(held) <= book.sent
    assert set(held.values()) == {ROWS}


async def expect_first_answers(client: AtlasClient, book: Book, numbers: list[int]) -> None:
    """A repeat gets the first answer, and other content under the same id is refused."""
    for number in numbers:
        first, again = book.acknowledged[number], await write(client, book, number)
        assert again.repeated
        assert (again.stored, again.committed_at) == (first.stored, first.committed_at)
        with pytest.raises(CallFailed, match="REQUEST_ID_REUSED"):
            await write(client, book, number, plus=1)
