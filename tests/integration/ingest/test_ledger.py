"""The ledger accounts for every row, whatever happens to the process or its connections."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter, defaultdict
from typing import Any

import asyncpg
from atlas_local.process import until
from doubles.writes import one, rows, series
from grpc import StatusCode, aio

CAPTURED = ("entities", "entity_attributes", "attribute_keys", "asset_types")


def wrapped(total: int) -> int:
    return (total + 2**63) % 2**64 - 2**63


async def assert_ledger_balances(database: Any) -> None:
    """Sequences have no gap, and each transaction's entries are the rows that carry its number."""
    batches = await database.fetch("SELECT * FROM ingest_batches ORDER BY writer, sequence")
    last: Counter[int] = Counter()
    for batch in batches:
        assert batch["sequence"] == last[batch["writer"]] + 1
        last[batch["writer"]] += 1
    writers = {row["writer"]: row["last_sequence"] for row in await database.fetch("SELECT * FROM ingest_writers")}
    assert {writer: sequence for writer, sequence in writers.items() if sequence} == dict(last)
    said: defaultdict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for batch in batches:
        for table, shard, count, total in json.loads(batch["entries"]):
            said[table, batch["transaction_number"], shard] = [count, int(total)]
    found: defaultdict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for table in CAPTURED:
        for row in await database.fetch(f"SELECT shard, row_version FROM {table}"):
            entry = found[table, row["row_version"] >> 17 & 2**38 - 1, row["shard"]]
            entry[0] += 1
            entry[1] = wrapped(entry[1] + row["row_version"])
    # An entity is counted by every transaction that changed it, and found under the last one only.
    unchanging = {key: entry for key, entry in said.items() if key[0] != "entities"}
    assert unchanging == {key: entry for key, entry in found.items() if key[0] != "entities"}
    for key, (count, _) in found.items():
        assert said[key][0] >= count


async def test_the_ledger_balances_under_concurrent_writes_of_many_kinds(ingest: Any, database: Any) -> None:
    tenants = [await ingest.tenant(spread=spread, quota=40) for spread in (1, 2, 5, 10)]
    dice = random.Random(7)

    async def write() -> None:
        writes = [
            one(f"e{dice.randrange(40)}", f"a{dice.randrange(60)}", dice.choice([1.0, float("nan")]), dice.randrange(5))
            for _ in range(dice.randrange(1, 60))
        ]
        for item in writes:
            item.asset_type = dice.choice(["", "disk", "pump"])
        await ingest.writes.WriteAttributes(rows(dice.choice(tenants), writes), timeout=30)

    async with asyncio.TaskGroup() as group:
        for _ in range(80):
            group.create_task(write())
    await assert_ledger_balances(database)


async def load(client: Any, requests: list[Any], acknowledged: set[str], stop_after: int, stop: Any) -> None:
    """Send the requests, eight at a time, and call `stop` once so many are acknowledged; errors are swallowed."""
    waiting = iter(requests)

    async def send() -> None:
        for request in waiting:
            try:
                await client.writes.WriteAttributes(request, timeout=10)
            except aio.AioRpcError:
                continue
            acknowledged.add(request.request_id)
            if len(acknowledged) == stop_after:
                stop()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(send())


async def stored_values(database: Any) -> Counter[int]:
    return Counter(row["value_int"] for row in await database.fetch("SELECT value_int FROM entity_attributes"))


async def test_a_killed_process_repeated_with_the_same_ids_counts_everything_once(database: Any, spawned: Any) -> None:
    async with spawned(database) as (process, client):
        tenant = await client.tenant()
        requests = [series(tenant, 200, n * 200) for n in range(120)]
        acknowledged: set[str] = set()
        await load(client, requests, acknowledged, 40, process.kill)
    assert 40 <= len(acknowledged) < 120
    stored = await stored_values(database)
    for n, request in enumerate(requests):
        if request.request_id in acknowledged:
            assert all(stored[value] == 1 for value in range(n * 200, n * 200 + 200))
    async with spawned(database) as (_, client):
        for request in requests:
            await client.writes.WriteAttributes(request, timeout=20)
    assert await stored_values(database) == Counter(range(120 * 200))
    await assert_ledger_balances(database)


async def test_a_terminated_process_drains_and_loses_nothing_it_acknowledged(database: Any, spawned: Any) -> None:
    async with spawned(database) as (process, client):
        tenant = await client.tenant()
        requests = [series(tenant, 200, n * 200) for n in range(120)]
        acknowledged: set[str] = set()
        await load(client, requests, acknowledged, 40, lambda: os.kill(process.pid, signal.SIGTERM))
        async with asyncio.timeout(20):
            # A second signal would abort the drain, so the process ends by itself here.
            await until(lambda: not process.running, every=0.02)
        assert "drain" in process.log_tail(200)
        assert '"event": "stopped"' in process.log_tail(200)
    stored = await stored_values(database)
    assert set(stored.values()) == {1}
    for n, request in enumerate(requests):
        if request.request_id in acknowledged:
            assert all(value in stored for value in range(n * 200, n * 200 + 200))
    await assert_ledger_balances(database)


async def test_broken_connections_are_replaced_and_repeats_count_once(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    requests = [series(tenant, 200, n * 200) for n in range(100)]
    control = await asyncpg.connect(database.primary.dsn(database=database.name))
    try:

        async def send(request: Any) -> None:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await ingest.writes.WriteAttributes(request, timeout=10)
                        return
                    except aio.AioRpcError as error:
                        if error.code() is not StatusCode.UNAVAILABLE:
                            raise

        async with asyncio.TaskGroup() as group:
            for n, request in enumerate(requests):
                group.create_task(send(request))
                if n % 20 == 10:
                    await asyncio.sleep(0.02)  # spread over the load; no condition is awaited
                    await control.fetch(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'atlas-ingest' AND datname = current_database()"
                    )
    finally:
        await control.close()
    assert await stored_values(database) == Counter(range(100 * 200))
    assert await database.value("SELECT count(*) FROM ingest_writers") > 3
    await assert_ledger_balances(database)
