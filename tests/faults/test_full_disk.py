"""The primary's disk is full: writes are refused as long as it is, and all that was acknowledged is there once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from atlas_client import CallFailed
from atlas_local.faults.disks import stop_growth, without_space
from atlas_local.process import until
from grpc import StatusCode

from faults.book import Book, expect_exactly_once, expect_first_answers, until_acknowledged, write
from faults.book import write_until_acknowledged as written
from faults.site import Site, load

ENDED = "was terminated by signal 6"  # a process that could not write the log takes down all others
LEAF = """
SELECT leaf.oid::regclass::text AS name, pg_relation_size(leaf.oid) AS bytes
FROM pg_class AS leaf JOIN pg_inherits ON inhrelid = leaf.oid JOIN pg_class AS parent ON parent.oid = inhparent
WHERE satisfies_hash_partition('entity_attributes'::regclass, 10, right(parent.relname, 1)::integer, $1::integer)
  AND leaf.relname = parent.relname || to_char(now() AT TIME ZONE 'UTC', '"_"YYYYMM')
  AND parent.relname ~ '^entity_attributes_h[0-9]$'
"""
FILE = "SELECT current_setting('data_directory') || '/' || pg_relation_filepath($1::text::regclass)"


def crashes(here: Site) -> int:
    return here.primary.log.read_text("utf-8", "replace").count(ENDED)


async def test_a_log_that_cannot_be_written_costs_nothing_that_was_acknowledged_and_comes_back_by_itself(
    here: Site,
) -> None:
    async with load(here) as book:
        for _ in range(2):
            before = crashes(here)
            await stop_growth(here.primary)
            async with asyncio.timeout(30):
                await until(lambda before=before: crashes(here) > before, every=0.05)  # type: ignore[misc]
            await until_acknowledged(book, 50)
    assert set(book.acknowledged) == book.sent
    await expect_exactly_once(here.primary.dsn(), book)
    await expect_first_answers(here.client, book, sorted(book.acknowledged)[:: len(book.acknowledged) // 10])


async def book_with_an_empty_leaf(here: Site, owner: asyncpg.Connection[asyncpg.Record]) -> tuple[Book, str]:
    """Return the book of a tenant whose history of this month is an empty file, with the name of its table."""
    for _ in range(30):
        book = await here.book()
        [leaf] = await owner.fetch(LEAF, book.tenant.tenant_id)
        if leaf["bytes"] == 0:
            return book, leaf["name"]
    raise AssertionError("every leaf of this month has rows")


async def knows_its_entities(here: Site, owner: asyncpg.Connection[asyncpg.Record], book: Book, leaf: str) -> Book:
    """Let ingest know all entities of the tenant, so that it commits small batches at once; the file is empty again."""
    for number in range(3):
        await written(here.client, book, number)
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")  # no trigger forbids it
        await owner.execute(f"TRUNCATE {leaf}")
    return Book(book.tenant)


@pytest.mark.parametrize("known", [False, True], ids=["new entities", "known entities"])
async def test_a_table_without_space_refuses_writes_for_now_stores_nothing_of_them_and_takes_them_later(
    here: Site, known: bool
) -> None:
    owner = await asyncpg.connect(here.primary.dsn())
    try:
        book, leaf = await book_with_an_empty_leaf(here, owner)
        if known:
            book = await knows_its_entities(here, owner, book, leaf)
        open_anew = f"ALTER TABLE {leaf} SET (autovacuum_enabled = true)"  # what every session then does
        writers = await owner.fetchval("SELECT count(*) FROM ingest_writers")
        with without_space(Path(await owner.fetchval(FILE, leaf))):
            await owner.execute(open_anew)
            book.sent.add(3)
            with pytest.raises(CallFailed) as refused:
                await write(here.client, book, 3, seconds=2.0)
            assert (refused.value.code, refused.value.reason) == (StatusCode.UNAVAILABLE, "UNAVAILABLE")
            waiting = [asyncio.create_task(written(here.client, book, number)) for number in (4, 5)]
            async with asyncio.timeout(30):
                await until(lambda: book.failures.total() >= 2, every=0.05)
            assert not book.acknowledged
        assert "No space left on device" in here.primary.log_tail(400)
        # Nobody doubts what became of them: connections and their numbers in the ledger stay, however often it fails.
        assert await owner.fetchval("SELECT count(*) FROM ingest_writers") == writers
        await owner.execute(open_anew)
        await asyncio.gather(*waiting, written(here.client, book, 3))
        await expect_exactly_once(here.primary.dsn(), book)
        await expect_first_answers(here.client, book, [3, 4, 5])
    finally:
        await owner.close()
