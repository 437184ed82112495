"""A long read holds a table: neither a migration nor a new partition makes others wait behind it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import atlaskit
from atlas_keeper.job import main
from atlas_local.process import until
from atlas_migrate.stores import LOCK_LIMIT, migrate_postgres

from faults.book import Book, expect_exactly_once, write_until_acknowledged
from faults.site import Site

SCHEMA = Path(atlaskit.__file__).parent / "postgres" / "schema"
CHANGE = "20260101000071_ledger_positions.sql"  # adds a column to the ledger, which every write inserts into
APPLIED = "SELECT EXISTS (SELECT FROM schema_migrations WHERE version = $1)"
MARGIN = 3.0  # seconds that a call may take on a busy machine; who queues behind the read waits for its end


class Waits:
    """How long calls took that went on the whole time: writes through ingest, reads of the ledger."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.over = asyncio.Event()
        self.writes: list[float] = []
        self.reads: list[float] = []

    async def write(self, here: Site) -> None:
        for number in itertools.count():
            if self.over.is_set():
                return
            begun = asyncio.get_running_loop().time()
            await write_until_acknowledged(here.client, self.book, number)
            self.writes.append(asyncio.get_running_loop().time() - begun)

    async def read(self, here: Site) -> None:
        async with owner_of(here) as connection:
            while not self.over.is_set():
                begun = asyncio.get_running_loop().time()
                await connection.fetchval("SELECT count(*) FROM ingest_batches WHERE row_version = 1")
                self.reads.append(asyncio.get_running_loop().time() - begun)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def reads_and_writes(here: Site) -> AsyncIterator[Waits]:
    """Yield what reads and writes had to wait while the block ran; they go on until its end."""
    waits = Waits(await here.book())
    async with asyncio.TaskGroup() as group:
        group.create_task(waits.write(here))
        group.create_task(waits.read(here))
        try:
            async with asyncio.timeout(30):
                await until(lambda: len(waits.writes) > 5 and len(waits.reads) > 5, every=0.01)
            yield waits
        finally:
            waits.over.set()


@asynccontextmanager
async def owner_of(here: Site) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(here.primary.dsn())
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def long_read(here: Site) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Yield a connection whose transaction has read every partition of the ledger and the history, and goes on."""
    async with owner_of(here) as connection:
        await connection.execute("BEGIN")
        await connection.execute("SELECT count(*) FROM ingest_batches")
        await connection.execute("SELECT count(*) FROM entity_attributes")
        yield connection


async def test_a_migration_that_meets_a_long_read_lets_all_others_through_and_is_done_once_the_read_ends(
    here: Site,
) -> None:
    version, _, back = CHANGE.partition("_")[0], *(SCHEMA / CHANGE).read_text("utf-8").split("-- migrate:down")
    said: list[str] = []
    async with owner_of(here) as owner:
        await owner.execute(back)
        await owner.execute("DELETE FROM schema_migrations WHERE version = $1", version)
        async with reads_and_writes(here) as waits:
            async with long_read(here) as reading:
                address = f"{here.primary.dsn()}?sslmode=disable"
                migrating = asyncio.create_task(migrate_postgres(address, timedelta(seconds=60), said.append))
                async with asyncio.timeout(30):
                    await until(lambda: len(said) >= 1, every=0.05)
                assert not migrating.done()
                assert not await owner.fetchval(APPLIED, version)
                assert await reading.fetchval("SELECT 1") == 1
            assert "Applied" in await asyncio.wait_for(migrating, 30)
        assert await owner.fetchval(APPLIED, version)
    longest = max(waits.writes + waits.reads)
    print(f"longest of {len(waits.writes)} writes and {len(waits.reads)} reads: {longest:.2f} s")  # noqa: T201
    assert longest < LOCK_LIMIT.total_seconds() + MARGIN
    await expect_exactly_once(here.primary.dsn(), waits.book)


async def test_partitions_are_made_at_once_while_a_long_read_goes_on_and_nobody_waits_for_them(here: Site) -> None:
    settings = {
        "ATLAS_POSTGRES_DSN": here.primary.dsn("atlas_keeper"),
        "ATLAS_MONTHS_AHEAD": "6",
        "ATLAS_DAYS_AHEAD": "20",
    }
    count = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relispartition"
    async with owner_of(here) as owner, reads_and_writes(here) as waits:
        before = await owner.fetchval(count)
        async with long_read(here) as reading:
            assert await asyncio.wait_for(asyncio.to_thread(main, [], settings), 30) == 0
            assert await owner.fetchval(count) > before
            assert await reading.fetchval("SELECT 1") == 1
    assert max(waits.writes + waits.reads) < MARGIN
    await expect_exactly_once(here.primary.dsn(), waits.book)
