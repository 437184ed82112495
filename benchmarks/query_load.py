"""The drives of `hot_load` in every copy of the embedded stack, with all services over it.

Both stores are filled in bulk before the stream of changes begins, and hold the same rows: the primary by COPY,
ClickHouse from the primary. No writer of the ledger exists by then, so what the sink proves afterwards is proven of
what comes afterwards, and true of all. What is measured with writes going on is written by ingest and comes through
the stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from atlas_local.launch import Launched, launched
from atlas_local.migrations import CLICKHOUSE_DATABASE, apply_schemas, register_connector
from atlas_local.ports import HOST
from atlas_local.postgres import DATABASE, SUPERUSER, PostgresTuning
from atlas_local.stack import LocalStack, StackOptions, local_stack
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse

from benchmarks.figures import say
from benchmarks.hot_load import PER_ENTITY, SQL, Drives, Place, load_drives

LIMIT = timedelta(minutes=30)  # of one statement of the load
VERSIONS = 17  # bits of a row version below the number of its transaction


class Site(NamedTuple):
    """Everything that runs, and where the drives are in it."""

    running: Launched
    place: Place
    entities: int


@asynccontextmanager
async def drives_everywhere(drives: Drives, entities: int, directory: Path | None) -> AsyncIterator[Site]:
    """Yield the stack with so many drives in every copy and all services ready.

    With a directory it is kept there, and not loaded again if it is there."""
    tuning = PostgresTuning(shared_buffers="2GB" if entities > 200_000 else "512MB", max_slot_wal_keep_size="30GB")
    options = StackOptions(data_dir=directory, keep=directory is not None, tuning=tuning)
    async with local_stack(options) as stack:
        await apply_schemas(stack)
        place = await _found(stack)
        if place is None:
            place = await _load(stack, drives, entities)
        await register_connector(stack)
        async with launched(stack, directory=stack.data_dir / "services") as running:
            yield Site(running, place, entities)


async def _found(stack: LocalStack) -> Place | None:
    connection = await asyncpg.connect(stack.primary_dsn())
    try:
        tenant_id = await connection.fetchval(SQL["bench_loaded"])
        if tenant_id is None:
            return None
        ids = {
            row["attribute_key"]: row["attribute_id"]
            for row in await connection.fetch(SQL["bench_place_keys"], tenant_id)
        }
        return Place(tenant_id, await connection.fetchval(SQL["bench_place"], tenant_id), ids)
    finally:
        await connection.close()


async def _load(stack: LocalStack, drives: Drives, entities: int) -> Place:
    began = time.monotonic()
    connection = await asyncpg.connect(stack.primary_dsn(), command_timeout=LIMIT.total_seconds())
    try:
        place, took = await load_drives(connection, drives, entities)
        await connection.execute(SQL["bench_documents_index"])
        await connection.execute(SQL["bench_documents_read"])
        await connection.fetchval(SQL["bench_transactions"], ((entities * PER_ENTITY) >> VERSIONS) + 1)
        await connection.execute("VACUUM ANALYZE")
        say(f"{entities * PER_ENTITY:,} values of {entities:,} drives: COPY {took.total_seconds():.0f} s,")
        say(f"  with slots, documents and statistics {time.monotonic() - began:.0f} s")
        await _copy(stack, await connection.fetchval(SQL["bench_held"], place.tenant_id), place)
        await _replicated(connection, stack)
        return place
    finally:
        await connection.close()


async def _copy(stack: LocalStack, rows: int, place: Place) -> None:
    """Fill ClickHouse from the primary. Raises RuntimeError if it does not hold as many rows then."""
    began = time.monotonic()
    source = {
        "address": f"{HOST}:{stack.primary.port}",
        "database": DATABASE,
        "user": SUPERUSER,
        "password": stack.postgres.password,
    }
    url = f"{stack.clickhouse_url}/{CLICKHOUSE_DATABASE}"
    async with open_clickhouse(url, connections=1, call_limit=LIMIT) as clickhouse:
        for name in ("bench_dictionary", "bench_types", "bench_listed", "bench_events"):
            await clickhouse.execute(SQL[name], source, limit=LIMIT)
        [(held,)] = await clickhouse.rows("SELECT count() FROM entity_analytics_events")
        if held != rows:
            raise RuntimeError(f"PostgreSQL holds {rows:,} rows and ClickHouse {held:,}")
        say(f"  ClickHouse from PostgreSQL {time.monotonic() - began:.0f} s, {await parts(clickhouse)}")


async def parts(clickhouse: ClickHouse) -> str:
    """Return how many parts the history is in, for people."""
    [(count, partitions)] = await clickhouse.rows(
        "SELECT count(), uniqExact(partition) FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table = 'entity_analytics_events'"
    )
    return f"{count} parts of {partitions} months"


async def _replicated(connection: asyncpg.Connection[Any], stack: LocalStack) -> None:
    """Return once the replica has all that is committed now."""
    position = await connection.fetchval("SELECT pg_current_wal_flush_lsn()::text")
    replica = await asyncpg.connect(stack.replica_dsn())
    try:
        async with asyncio.timeout(LIMIT.total_seconds()):
            while not await replica.fetchval(SQL["bench_replayed"], position):  # noqa: ASYNC110  # of another process
                await asyncio.sleep(0.1)
    finally:
        await replica.close()
