"""P13 and P14 of freshness against their baselines: `python -m benchmarks.freshness [--rows P14] [--pairs 5]`.

P14: a primary, its replica, a lag monitor and a query router, each a process, with the settings that they have by
default. Idle, the primary commits nothing at all: neither rows nor beats. Loaded, COPY puts 10,000 values a second into
the history. Reads come at random instants, whatever became of those before. P13: see `benchmarks/tightness.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_lag_monitor.settings import Settings as MonitorSettings
from atlas_local.platform import grpc_ready
from atlas_local.ports import HOST, assign_in
from atlas_local.postgres import PostgresCluster, PostgresTuning
from atlas_local.process import ChildProcess, Command
from atlas_local.scratch import register_first_epoch, scratch_cluster
from atlaskit.batch import EPOCH
from grpc import aio

from benchmarks.figures import Figure, say, store
from benchmarks.tightness import p13

NOWHERE = f"{HOST}:1"  # Kafka and ClickHouse are not part of what is measured here
EVERY = 0.025  # seconds between two reads, in the mean
LOAD = 10_000  # values a second
BATCH = 500
COLUMNS = ("tenant_id", "entity_id", "attribute_id", "shard", "value_type", "event_time", "row_version", "value_double")
FENCES: timedelta = MonitorSettings.model_fields["fence_interval"].default
REPLICA = fpb.FreshnessRequirement(
    use_case=fpb.USE_CASE_OPERATIONAL_REPORT, only_source=fpb.DATA_SOURCE_REPLICA, policy=fpb.FRESHNESS_POLICY_DEGRADE
)
# What is commonly taken for the lag of a replica, in milliseconds; NULL before the first commit was replayed.
NAIVE = "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 * 1000"


@dataclass(frozen=True, slots=True)
class Pair:
    """The servers, and the router that reads them."""

    cluster: PostgresCluster
    router: pb_grpc.QueryServiceAsyncStub
    tenant: int


@asynccontextmanager
async def process(name: str, folder: Path, environment: dict[str, str]) -> AsyncIterator[str]:
    """Yield the address of a service that runs for the block."""
    address = f"{HOST}:{assign_in(folder, (name,), {})[name]}"
    command = Command([sys.executable, "-m", f"atlas_{name}"], {**environment, "ATLAS_ADDRESS": address})
    child = ChildProcess(name, command, folder / f"{name}.log", lambda: grpc_ready(address), 30.0)
    await child.start()
    try:
        yield address
    finally:
        await child.stop()


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Yield the processes, with one entity of one value to read."""
    async with scratch_cluster(PostgresTuning(shared_buffers="256MB"), replica=True) as cluster:
        await register_first_epoch(cluster.primary.dsn())
        tenant = await _seed(cluster)
        with tempfile.TemporaryDirectory(prefix="atlas-bench-") as name:
            folder = Path(name)
            monitor = {
                "ATLAS_POSTGRES_DSN": cluster.primary.dsn("atlas_monitor"),
                "ATLAS_REPLICA_DSN": cluster.replica.dsn("atlas_monitor"),
                "ATLAS_CLICKHOUSE_URL": f"http://{NOWHERE}/atlas",
                "ATLAS_KAFKA_BOOTSTRAP": NOWHERE,
                # An idle primary commits nothing; in mode single the fences do not need these beats.
                "ATLAS_BEAT_INTERVAL": "1h",
                "ATLAS_PRIMARY_BEAT_INTERVAL": "1h",
                # Registration would look for Kafka all the time; the epoch is there.
                "ATLAS_EPOCH_TIMEOUT": "30s",
            }
            async with process("lag_monitor", folder, monitor) as lag:
                router = {
                    "ATLAS_POSTGRES_DSN": cluster.primary.dsn("atlas_reader"),
                    "ATLAS_REPLICA_DSN": cluster.replica.dsn("atlas_reader"),
                    "ATLAS_CLICKHOUSE_URL": f"http://{NOWHERE}/atlas",
                    "ATLAS_LAG_MONITOR": lag,
                }
                async with process("query_router", folder, router) as address, aio.insecure_channel(address) as channel:
                    stub: pb_grpc.QueryServiceAsyncStub = pb_grpc.QueryServiceStub(channel)
                    yield Pair(cluster, stub, tenant)


async def _seed(cluster: PostgresCluster) -> int:
    connection = await asyncpg.connect(cluster.primary.dsn())
    try:
        tenant: int = await connection.fetchval(
            "INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key) "
            "VALUES ('bench', 'numbered', 1, 1000, '0123456789abcdef') RETURNING tenant_id"
        )
        await connection.execute(
            "INSERT INTO entities (tenant_id, entity_id, shard, row_version) VALUES ($1, 1, $2, 1)", tenant, tenant % 10
        )
        return tenant
    finally:
        await connection.close()


class Reads:
    """Reads of the replica at random instants: what each was proven to be, in milliseconds; None: unknown."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self._pair = pair
        self._chance = random.Random(seed)
        self.claims: list[float | None] = []

    async def offer(self, seconds: float) -> None:
        """Read for so long, each read on its own time."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            while loop.time() < ends:
                await asyncio.sleep(self._chance.expovariate(1 / EVERY))
                group.create_task(self._read())

    async def _read(self) -> None:
        request = pb.GetEntityRequest(tenant_id=self._pair.tenant, entity_id=1, freshness=REPLICA)
        found = (await self._pair.router.GetEntity(request, timeout=5)).freshness
        known = found.HasField("staleness")
        self.claims.append(found.staleness.ToTimedelta() / timedelta(milliseconds=1) if known else None)


async def _naive(pair: Pair, seconds: float, seen: list[float]) -> None:
    connection = await asyncpg.connect(pair.cluster.replica.dsn())
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    try:
        while loop.time() < ends:
            if (lag := await connection.fetchval(NAIVE)) is not None:
                seen.append(lag)
            await asyncio.sleep(EVERY)
    finally:
        await connection.close()


async def _load(pair: Pair, over: asyncio.Event) -> None:
    """Put values into the history at the rate of the load, as ingest does with a batch."""
    connection = await asyncpg.connect(pair.cluster.primary.dsn("atlas_ingest"))
    loop = asyncio.get_running_loop()
    begun, batch = loop.time(), 0
    first = await connection.fetchval("SELECT nextval('ingest_transaction')")
    try:
        while not over.is_set():
            at = EPOCH + timedelta(days=20_000, seconds=first * 100_000 + batch)
            rows: list[tuple[Any, ...]] = [
                (pair.tenant, n, 1, pair.tenant % 10, 3, at, (first << 40) + batch * BATCH + n, 0.5)
                for n in range(2, BATCH + 2)
            ]
            await connection.copy_records_to_table("entity_attributes", columns=COLUMNS, records=rows)
            batch += 1
            await asyncio.sleep(max(begun + batch * BATCH / LOAD - loop.time(), 0.0))
    finally:
        await connection.close()


async def _proven(pair: Pair) -> None:
    async with asyncio.timeout(60):
        while True:
            reads = Reads(pair, 0)
            await reads.offer(0.2)
            if reads.claims and reads.claims[-1] is not None:
                return


async def p14(pairs: int, seconds: float) -> Figure:
    """Return the staleness that reads of the replica are proven to have against the interval of the fences."""
    medians: dict[str, list[float]] = {"idle": [], "loaded": []}
    naive: dict[str, list[float]] = {"idle": [], "loaded": []}
    unknown = 0
    async with pair() as running:
        await _proven(running)
        for number in range(pairs):
            for kind, ratios in medians.items():
                reads, over = Reads(running, number), asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    load = group.create_task(_load(running, over)) if kind == "loaded" else None
                    group.create_task(_naive(running, seconds, naive[kind]))
                    await reads.offer(seconds)
                    over.set()
                    if load is not None:
                        await load
                known = [claim for claim in reads.claims if claim is not None]
                unknown += len(reads.claims) - len(known)
                ratios.append(statistics.median(known) / (FENCES / timedelta(milliseconds=1)))
    worst = max(medians, key=lambda kind: statistics.median(medians[kind]))
    told = "; ".join(
        f"{kind} {statistics.median(values) * (FENCES / timedelta(milliseconds=1)):.1f} ms "
        f"({statistics.median(values):.2f}), the naive formula says {_range(naive[kind])}"
        for kind, values in medians.items()
    )
    detail = f"{told}; fences every {FENCES / timedelta(milliseconds=1):.0f} ms; {unknown} reads unknown"
    return Figure.of(medians[worst], "<= 2.0", f"p50 of the replica's claim / interval of the fences, {worst}", detail)


def _range(lags: Sequence[float]) -> str:
    if not lags:
        return "nothing"
    return f"{statistics.median(lags):,.0f} ms (up to {max(lags):,.0f})"


ROWS: dict[str, Callable[[int, float], Awaitable[Figure]]] = {"P13": p13, "P14": p14}


async def measure(names: Sequence[str], pairs: int, seconds: float) -> None:
    """Measure the rows, print each when it is there, and store them."""
    for name in names:
        figure = await ROWS[name](pairs, seconds)
        say(figure.line(name))
        store("freshness", {name: figure})


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, with commas between them")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each row")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured in each run")
    arguments = parser.parse_args()
    names = arguments.rows.upper().split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    asyncio.run(measure(names, arguments.pairs, arguments.seconds))


if __name__ == "__main__":
    main()
