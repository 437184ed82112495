"""Ingest or its PostgreSQL is disturbed under load: what was acknowledged is stored exactly once, whatever it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from atlas_local.postgres import PostgresServer

from faults.book import expect_exactly_once, expect_first_answers, until_acknowledged
from faults.site import Site, load, site

OUTAGE = 30.0  # seconds


async def ingest_is_stopped(at: Site) -> None:
    await at.ingest.stop()
    await at.ingest.start()


async def ingest_is_killed(at: Site) -> None:
    at.ingest.kill()
    await at.ingest.start()


async def primary_is_killed(at: Site) -> None:
    at.primary.kill()
    await at.primary.start()


async def primary_is_restarted(at: Site) -> None:
    await at.primary.restart()


@pytest.mark.parametrize("disturb", [ingest_is_stopped, ingest_is_killed, primary_is_killed, primary_is_restarted])
async def test_what_was_acknowledged_is_stored_exactly_once(
    here: Site, disturb: Callable[[Site], Awaitable[None]]
) -> None:
    async with load(here) as book:
        for _ in range(3):
            await disturb(here)
            await until_acknowledged(book, 50)
    assert set(book.acknowledged) == book.sent
    await expect_exactly_once(here.primary.dsn(), book)
    await expect_first_answers(here.client, book, sorted(book.acknowledged)[:: len(book.acknowledged) // 10])


async def test_a_cancelled_call_is_stored_whole_or_not_at_all_and_once(here: Site) -> None:
    async with load(here, cancelling=6) as book:
        await until_acknowledged(book, 500)
        await ingest_is_killed(here)
        await until_acknowledged(book, 500)
    assert len(book.cancelled) > 20
    await expect_exactly_once(here.primary.dsn(), book)
    repeated = sorted(book.cancelled & set(book.acknowledged))
    assert repeated
    await expect_first_answers(here.client, book, repeated[:10])


async def paused(primary: PostgresServer) -> None:
    primary.pause()
    try:
        await asyncio.sleep(OUTAGE)  # its length is the rule
    finally:
        primary.resume()


async def stopped(primary: PostgresServer) -> None:
    await primary.stop()
    await asyncio.sleep(OUTAGE)  # its length is the rule
    await primary.start()


async def outage(folder: Path, kind: Callable[[PostgresServer], Awaitable[None]]) -> None:
    async with site(folder) as at:
        before = at.attempts.count
        async with load(at, pause=0.05) as book:
            await until_acknowledged(book, 500)
            await kind(at.primary)
        attempts = at.attempts.count - before - 1  # without the registration of the tenant
        assert attempts <= book.calls * 1.1, (
            f"{kind.__name__}: {book.calls} calls, {attempts} attempts, {book.failures}"
        )
        assert set(book.acknowledged) == book.sent
        await expect_exactly_once(at.primary.dsn(), book)
        await expect_first_answers(at.client, book, sorted(book.acknowledged)[::100])


async def test_an_outage_of_the_primary_for_half_a_minute_loses_nothing_and_is_not_made_worse_by_retries(
    tmp_path: Path,
) -> None:
    async with asyncio.TaskGroup() as group:  # side by side: each mostly waits
        for kind in (paused, stopped):
            group.create_task(outage(tmp_path / kind.__name__, kind), name=kind.__name__)
