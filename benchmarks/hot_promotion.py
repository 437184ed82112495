"""What promotion does to ingest: `make bench-promotion`.

Commits of three writers: alone, while an attribute is promoted and filled in, and afterwards with one and with four
promoted attributes of ten. Also how fast a backfill is. Writes come at a rate, and each counts from when it was due;
with rate 0 each writer goes on as soon as it can, which tells what there is room for. Beside the longest commit stands
the longest that a session waited for a lock: a promotion could hold others up by a lock, all else is the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import asyncpg
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1.value_pb2 import VALUE_TYPE_DOUBLE as DOUBLE
from atlas_ingest import validation
from atlas_ingest.backfilling import Pace, backfilling
from atlas_ingest.decoding import draft_of_columns
from atlas_local.postgres import DATABASE, PostgresTuning
from atlas_local.scratch import register_first_epoch, scratch_cluster
from atlaskit.batch import WriteBatch
from atlaskit.model import EntityIdentity, Tenant, ValueType
from atlaskit.postgres.hot_promotion import Attribute, HotAttributes
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.store import PostgresStore, StoreWriter
from atlaskit.postgres.tenants import Tenants
from atlaskit.postgres.writer import open_writer

from benchmarks.figures import say
from benchmarks.hot_attributes import quantile

LIMIT = timedelta(seconds=60)
ATTRIBUTES = 10
SECONDS = 100_000  # of event time from one phase to the next
WRITERS = 3
BEGIN_US = 1_767_225_600_000_000
LOOK = 0.005  # seconds
WAITING = "SELECT max(extract(epoch FROM clock_timestamp() - waitstart))::float8 * 1000 FROM pg_locks WHERE NOT granted"
READY = "SELECT count(*) FROM hot_attribute_slots WHERE state <> 'BACKFILLING'"


class Site(NamedTuple):
    """A tenant whose entities are there, and writers of one process."""

    tenant: Tenant
    writers: Sequence[StoreWriter]
    entities: int
    rows: int
    rate: int  # values a second; 0: as many as there is room for


class LockWaits:
    """The longest time that a session was seen waiting for a lock, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self, dsn: str) -> None:
        """Look until cancelled."""
        connection = await asyncpg.connect(dsn)
        try:
            while True:
                self.longest = max(self.longest, await connection.fetchval(WAITING) or 0.0)
                await asyncio.sleep(LOOK)
        finally:
            await connection.close()

    def taken(self) -> float:
        """Return the longest since it was asked before, in milliseconds."""
        longest, self.longest = self.longest, 0.0
        return longest


def batch_of(site: Site, first: int, second: int) -> WriteBatch:
    """Return every attribute of so many entities from `first` on, at one time."""
    count = site.rows // ATTRIBUTES
    ids = [(first + n) % site.entities for n in range(count)]
    columns = pb2.ColumnBatch(
        attribute_keys=[f"a{n}" for n in range(ATTRIBUTES)],
        asset_types=["drive"] * count,
        entity_indexes=[n // ATTRIBUTES for n in range(site.rows)],
        attribute_indexes=[n % ATTRIBUTES for n in range(site.rows)],
        event_times_us=[BEGIN_US + second * 1_000_000] * site.rows,
        value_types=[DOUBLE] * site.rows,
        double_values=[float(second * 7 + n) for n in range(site.rows)],
    )
    columns.entity_ids.extend(ids)
    said = validation.Request(site.tenant, uuid.uuid4(), b"d" * 32, 1, "")
    return validation.checked(draft_of_columns(columns, EntityIdentity.NUMBERED), said, datetime.now(UTC))


async def loaded(site: Site) -> None:
    """Write a first value of everything."""
    big = site._replace(rows=50_000)
    for first in range(0, site.entities, big.rows // ATTRIBUTES):
        await _commit(site.writers[0], batch_of(big, first, 0))


async def _commit(writer: StoreWriter, batch: WriteBatch) -> float:
    began = time.perf_counter()
    await writer.commit(await writer.reserve(), [batch], LIMIT)
    return (time.perf_counter() - began) * 1000


async def written(site: Site, running: Callable[[], bool], second: int) -> list[float]:
    """Return how long each commit took from when it was due, in milliseconds, while `running`.

    Each writer has a part of the entities, so that none waits for the rows of another."""
    every = WRITERS * site.rows / site.rate if site.rate else 0.0
    part = site.entities // WRITERS

    async def one(number: int, writer: StoreWriter) -> list[float]:
        times, begun = list[float](), time.perf_counter() + number * every / WRITERS
        while running():
            due = begun + len(times) * every if every else time.perf_counter()
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            first = number * part + len(times) * site.rows // ATTRIBUTES % (part - site.rows // ATTRIBUTES)
            await _commit(writer, batch_of(site, first, second + len(times)))
            times.append((time.perf_counter() - due) * 1000)
        return times

    return [took for part in await asyncio.gather(*map(one, range(WRITERS), site.writers)) for took in part]


async def told(name: str, site: Site, waits: LockWaits, running: Callable[[], bool], second: int) -> None:
    """Write while `running` and print how that went."""
    began, _ = time.perf_counter(), waits.taken()
    times = await written(site, running, second)
    rate = len(times) * site.rows / (time.perf_counter() - began)
    half, most = quantile(times, 0.5), quantile(times, 0.99)
    say(
        f"{name:30} {rate:9,.0f} values/s  p50 {half:6.1f}  p99 {most:6.1f}  longest {max(times):6.1f}  "
        f"for a lock {waits.taken():6.1f} ms  {len(times)} commits"
    )


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Return what holds for so many seconds from its first call on."""
    end: list[float] = []

    def running() -> bool:
        end[:] = end or [time.perf_counter() + seconds]
        return time.perf_counter() < end[0]

    return running


class Promotion(NamedTuple):
    """What promotes: the catalogue, the call that tells the backfill, and one that counts what is filled."""

    attributes: HotAttributes
    wake: Callable[[], None]
    ready: Callable[[int], Awaitable[bool]]


async def promoted(site: Site, waits: LockWaits, promotion: Promotion, key: int) -> None:
    """Promote an attribute while writes go on, and print how they did until it was READY."""
    begun, done = time.perf_counter(), False

    async def fill() -> None:
        nonlocal done
        await asyncio.sleep(0.5)
        await promotion.attributes.promote(
            Attribute(site.tenant.tenant_id, "drive", f"a{key}"), ValueType.DOUBLE, LIMIT
        )
        promotion.wake()
        while not await promotion.ready(key + 1):  # noqa: ASYNC110  # of a table
            await asyncio.sleep(0.1)
        done = True

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fill())
        tasks.create_task(
            told(f"while attribute {key + 1} is promoted", site, waits, lambda: not done, SECONDS * (key + 1))
        )
    took = time.perf_counter() - begun - 0.5
    say(f"  {site.entities:,} entities filled beside that in {took:.1f} s, {site.entities / took:,.0f} a second")


async def measure(options: argparse.Namespace) -> None:
    """Print the lines."""
    async with (
        scratch_cluster(PostgresTuning(shared_buffers="512MB"), replica=False) as cluster,
        AsyncExitStack() as stack,
    ):
        await register_first_epoch(cluster.primary.dsn())
        dsn = cluster.primary.dsn("atlas_ingest", DATABASE)
        pool: Pool = await stack.enter_async_context(open_pool(dsn))
        tenant = await Tenants(pool).create("promotion", EntityIdentity.NUMBERED, 10, 1000, LIMIT)
        store = PostgresStore(dsn)
        writers = [await stack.enter_async_context(store.writer()) for _ in range(WRITERS)]
        site = Site(tenant, writers, options.entities, options.rows, options.rate)
        await loaded(site)
        pace = Pace(options.batch, 1.0, timedelta(seconds=5))
        backfill = await stack.enter_async_context(backfilling(pool, partial(open_writer, dsn), pace))
        superuser = await asyncpg.connect(cluster.primary.dsn())

        async def ready(count: int) -> bool:
            return bool(await superuser.fetchval(READY) >= count)

        promotion = Promotion(HotAttributes(pool, budget=10), backfill.wake, ready)
        waits = LockWaits()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(waits.watch(cluster.primary.dsn()))
            await told("warming up", site, waits, for_seconds(2), 1)
            await told("nothing promoted", site, waits, for_seconds(options.seconds), SECONDS // 2)
            for key in range(4):
                await promoted(site, waits, promotion, key)
                if key in {0, 3}:
                    after = SECONDS * (key + 1) + SECONDS // 2
                    await told(f"{key + 1} of 10 promoted", site, waits, for_seconds(options.seconds), after)
            watching.cancel()
        await superuser.close()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=50_000)
    parser.add_argument("--rows", type=int, default=1000, help="values of one commit")
    parser.add_argument("--batch", type=int, default=200, help="entities of one transaction of a backfill")
    parser.add_argument("--rate", type=int, default=50_000, help="values a second; 0: as many as there is room for")
    parser.add_argument("--seconds", type=float, default=5)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
