"""COPY of ready tuples straight into PostgreSQL, which ingest is compared with.

As a program it copies so many batches of 1000 rows a second until it is told to stop:
`python -m benchmarks.copying DSN 50`."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from atlas_local.postgres import PostgresServer
from atlaskit.batch import EPOCH

from benchmarks.arms import Database, cpu_seconds, fresh_database

COLUMNS = ("tenant_id", "entity_id", "attribute_id", "shard", "value_type", "event_time", "row_version", "value_double")
BEGIN = EPOCH + timedelta(days=20_000)
CONNECTIONS = 2
SIZE = 1_000


def batch(items: Sequence[int], number: int, tenant_id: int = 1) -> list[tuple[Any, ...]]:
    """Return rows of these items, of the second `number`."""
    at = BEGIN + timedelta(seconds=number)
    return [(tenant_id, n // 10, n % 10 + 1, n // 10 % 10, 3, at, 2**40 + n, n * 0.25) for n in items]


async def copies(server: PostgresServer, seconds: float, connections: int, size: int) -> tuple[float, float]:
    """Return the values a second that ready tuples reach by COPY, one commit for each batch, and CPU us of each."""
    rows, spent = 0, 0.0

    async def copy(database: Database, caller: int) -> None:
        nonlocal rows, spent
        connection = await asyncpg.connect(database.dsn("atlas_ingest"))
        try:
            for ready in made[caller]:
                await connection.copy_records_to_table("entity_attributes", columns=COLUMNS, records=ready)
                rows += len(ready)
                if time.perf_counter() >= ends:
                    return
        finally:
            spent += cpu_seconds(connection.get_server_pid())
            await connection.close()

    # Enough for the time at 700,000 a second; every row has an identity of its own.
    items = [range(caller * size, (caller + 1) * size) for caller in range(connections)]
    count = int(700_000 / size * seconds / connections) + 1
    made = [[batch(items[caller], number) for number in range(count)] for caller in range(connections)]
    async with fresh_database(server) as database:
        began = time.perf_counter()
        ends = began + seconds
        async with asyncio.TaskGroup() as group:
            for caller in range(connections):
                group.create_task(copy(database, caller))
        return rows / (time.perf_counter() - began), 1e6 * spent / rows


async def copy_without_end(dsn: str, batches_per_second: float) -> None:
    """Copy batches at random times; those that no connection is free for wait."""
    gaps, due, number = random.Random(1), time.perf_counter(), 0
    free: asyncio.Queue[asyncpg.Connection[Any]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncpg.connect(dsn))

    async def copy(connection: asyncpg.Connection[Any], number: int) -> None:
        ready = batch(range(SIZE), number)
        await connection.copy_records_to_table("entity_attributes", columns=COLUMNS, records=ready)
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        while True:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            group.create_task(copy(await free.get(), number))
            due, number = due + gaps.expovariate(batches_per_second), number + 1


if __name__ == "__main__":
    asyncio.run(copy_without_end(sys.argv[1], float(sys.argv[2])))
