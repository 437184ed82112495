"""Where the time of a batch goes, in CPU microseconds a row: `python -m benchmarks.ingest_stages [--rows 1000]`.

Every stage runs in this process, one after another, against a primary of its own with the whole schema and fsync on.
Beside it stands what a client of PostgreSQL pays that has ready tuples and `copy_records_to_table` alone.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas_ingest import validation
from atlas_ingest.decoding import draft_of_columns, draft_of_rows
from atlas_ingest.items import digest_of
from atlas_ingest.wire import Decoder
from atlas_local.postgres import DATABASE, PostgresServer
from atlas_local.scratch import register_first_epoch, scratch_cluster
from atlaskit.batch import WriteBatch
from atlaskit.model import EntityIdentity, Tenant
from atlaskit.postgres.frames import frame_of
from atlaskit.postgres.history import rows_of
from atlaskit.postgres.numbering import numbered_of
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.store import PostgresStore
from atlaskit.postgres.tenants import Tenants

from benchmarks.arms import cpu_seconds
from benchmarks.copying import COLUMNS, batch

LIMIT = timedelta(seconds=60)
# Types of one in ten items: mostly measurements, as in the real data.
KINDS = (3, 3, 3, 3, 3, 3, 1, 1, 5, 2)


class Cost(NamedTuple):
    """Microseconds a row: of the wall, of the client's CPU and of its backend's."""

    wall: float
    client: float
    backend: float

    def line(self, name: str) -> str:
        """Return it as a line of the table."""
        return f"{name:8}" + " ".join(f"{figure:8.3f}" for figure in self)


class Meter:
    """Measures from its making on what this process and one backend spend."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = self._now()

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), cpu_seconds(self._pid)

    def cost(self, rows: int) -> Cost:
        """Return what was spent, for each of so many rows."""
        wall, client, backend = (
            (end - begun) / rows * 1e6 for begun, end in zip(self._began, self._now(), strict=True)
        )
        return Cost(wall, client, backend)


class Load:
    """Batches of one tenant; each has times of its own."""

    def __init__(self, tenant: Tenant, rows: int, attributes: int, kinds: Sequence[int]) -> None:
        self._tenant, self._rows, self._attributes, self._kinds = tenant, rows, attributes, kinds
        self._second = 0

    def request(self) -> pb2.WriteAttributesRequest:
        """Return the next batch: every attribute of an entity at one time, entity after entity."""
        count = self._rows
        self._second += 1
        entities = (count + self._attributes - 1) // self._attributes
        kinds = [self._kinds[n % self._attributes % len(self._kinds)] for n in range(count)]
        time_us = 1_767_225_600_000_000 + self._second * 1_000_000
        columns = pb2.ColumnBatch(
            attribute_keys=[f"attribute {n}" for n in range(self._attributes)],
            entity_indexes=[n // self._attributes for n in range(count)],
            attribute_indexes=[n % self._attributes for n in range(count)],
            event_times_us=[time_us] * count,
            value_types=kinds,  # type: ignore[arg-type]  # the same numbers
            int64_values=[n for n, kind in enumerate(kinds) if kind == 1],
            uint64_values=[2**63 + n for n, kind in enumerate(kinds) if kind == 2],
            double_values=[n * 0.25 for n, kind in enumerate(kinds) if kind == 3],
            string_values=[f"state {n}" for n, kind in enumerate(kinds) if kind == 5],
        )
        columns.entity_keys.extend(f"disk-{n:08}" for n in range(entities))
        return pb2.WriteAttributesRequest(
            tenant_id=self._tenant.tenant_id, request_id=str(uuid.uuid4()), columns=columns
        )


def cpu(work: Callable[[], object], rows: int, seconds: float = 0.4) -> float:
    """Return the CPU microseconds a row of repeated work, the least of five rounds."""
    rounds, best = 0, float("inf")
    began = time.process_time()
    work()
    repeats = max(int(seconds / 5 / max(time.process_time() - began, 1e-6)), 1)
    while rounds < 5:
        began = time.process_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time() - began) / repeats)
        rounds += 1
    return best / rows * 1e6


def draft_of(request: pb2.WriteAttributesRequest) -> Any:
    """Return the draft of either form."""
    if request.HasField("rows"):
        return draft_of_rows(request.rows, EntityIdentity.KEYED)
    return draft_of_columns(request.columns, EntityIdentity.KEYED)


def stages(load: Load, tenant: Tenant, rows: int) -> dict[str, float]:
    """Return the CPU of each stage that needs no store."""
    request = load.request()
    octets, now = request.SerializeToString(), datetime.now(UTC)
    decoder = Decoder(pb2.WriteAttributesRequest)
    draft = draft_of(request)
    said = validation.Request(tenant, uuid.uuid4(), digest_of(request), len(octets), "")
    batch = validation.checked(draft, said, now)
    return {
        "parse": cpu(lambda: decoder(octets), rows),
        "digest": cpu(lambda: digest_of(request), rows),
        "draft": cpu(lambda: draft_of(request), rows),
        "validation": cpu(lambda: validation.checked(draft, said, now), rows),
        "numbers": cpu(lambda: numbered_of(1, 7, [batch], {}), rows),
        "sorting": cpu(lambda: rows_of(numbered_of(1, 7, [batch], {})), rows),
        "frame": cpu(lambda: frame_of(rows_of(numbered_of(1, 7, [batch], {}))), rows),
    }


def checked(load: Load, tenant: Tenant) -> WriteBatch:
    """Return the next batch, checked."""
    request = load.request()
    said = validation.Request(tenant, uuid.UUID(request.request_id), digest_of(request), request.ByteSize(), "")
    return validation.checked(draft_of(request), said, datetime.now(UTC))


async def commits(server: PostgresServer, groups: Sequence[Sequence[WriteBatch]], *, profile: bool) -> Cost:
    """Return what committing the groups costs; two to warm up apart."""
    store = PostgresStore(server.dsn("atlas_ingest", DATABASE))
    rows = sum(len(batch.states) for group in groups[2:] for batch in group)
    async with store.writer() as writer:
        for group in groups[:2]:
            await writer.commit(await writer.reserve(), group, LIMIT)
        pid = await _pid(server, "atlas-ingest")
        profiler = cProfile.Profile()
        meter = Meter(pid)
        if profile:
            profiler.enable()
        for group in groups[2:]:
            await writer.commit(await writer.reserve(), group, LIMIT)
        profiler.disable()
        cost = meter.cost(rows)
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    return cost


async def copies(server: PostgresServer, tenant: Tenant, rounds: int, rows: int) -> Cost:
    """Return the same of `copy_records_to_table` with ready tuples."""
    connection = await asyncpg.connect(server.dsn("atlas_ingest", DATABASE))
    records = [batch(range(rows), number, tenant.tenant_id) for number in range(rounds)]
    try:
        meter = Meter(connection.get_server_pid())
        for group in records:
            await connection.copy_records_to_table("entity_attributes", columns=COLUMNS, records=group)
        return meter.cost(rounds * rows)
    finally:
        await connection.close()


def say(line: str) -> None:
    """Print one line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _pid(server: PostgresServer, application: str) -> int:
    connection = await asyncpg.connect(server.dsn(database=DATABASE))
    try:
        return int(
            await connection.fetchval("SELECT pid FROM pg_stat_activity WHERE application_name = $1", application)
        )
    finally:
        await connection.close()


async def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""
    async with scratch_cluster(replica=False) as cluster:
        server = cluster.primary
        await register_first_epoch(server.dsn())
        async with open_pool(server.dsn("atlas_ingest", DATABASE)) as pool:
            tenant = await Tenants(pool).create("stages", EntityIdentity.KEYED, 10, 20_000, LIMIT)
        kinds = (3,) if arguments.doubles else KINDS
        load = Load(tenant, arguments.rows, arguments.attributes, kinds)
        for stage, figure in stages(load, tenant, arguments.rows).items():
            say(f"{stage:12} {figure:8.3f}")
        say("            wall   client  backend   us a row")
        for round_ in range(arguments.pairs):
            baseline = await copies(server, tenant, arguments.rounds, arguments.rows * arguments.share)
            say(baseline.line("copy"))
            profile = arguments.profile and round_ == arguments.pairs - 1
            groups = [[checked(load, tenant) for _ in range(arguments.share)] for _ in range(arguments.rounds + 2)]
            say((await commits(server, groups, profile=profile)).line("commit"))


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000, help="rows of a batch")
    parser.add_argument("--attributes", type=int, default=10, help="attributes of an entity in a batch")
    parser.add_argument("--share", type=int, default=1, help="batches in a transaction")
    parser.add_argument("--rounds", type=int, default=50, help="transactions of a round")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--doubles", action="store_true", help="doubles only")
    parser.add_argument("--profile", action="store_true", help="print where the client's time of the last round goes")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
