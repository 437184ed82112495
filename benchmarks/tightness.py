"""P13: by how much claims about ClickHouse exceed the truth, on the whole stack with nothing wrong and no relays.

One key is written all the time and one reader asks ClickHouse alone about it; the history goes to the checker's own
measure of the true staleness. Needs `tests` on the path.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import tempfile
from pathlib import Path

from atlas_client import AtlasClient
from atlas_local.launch import Launched, launched
from atlas_local.migrations import apply_migrations
from atlas_local.stack import StackOptions, local_stack
from checker.history import History
from checker.index import facts_of
from checker.measures import BEAT_AND_BATCH_MS
from checker.outcome import percentile
from checker.processes import wire
from checker.processes.clients import Reader
from checker.processes.notebook import Notebook, now
from checker.processes.workload import METRONOME, Workload
from checker.timing import slacks
from grpc import aio

from benchmarks.figures import Figure

WARM = 20.0  # seconds that compilers and caches get
WINDOW = 3.0  # times the seconds of a run: a p99 needs reads
PAUSE = 0.025  # seconds between two reads, in the mean
OLAP = next(way for way in wire.CLASSES if way.only == "olap")


async def p13(windows: int, seconds: float) -> Figure:
    """Return the p99 of claimed less true staleness of ClickHouse against a beat and a batch: of each window."""
    with tempfile.TemporaryDirectory(prefix="atlas-tightness-") as name:
        Path(name).chmod(0o711)
        async with local_stack(StackOptions()) as stack:
            await apply_migrations(stack)
            async with launched(stack, directory=Path(name) / "services") as atlas:
                parts = await _measured(atlas, windows, seconds)
    every = [excess for part in parts for excess in part]
    p50, p90 = (percentile(every, percent) or 0 for percent in (50, 90))
    ratios = [(percentile(part, 99) or 0) / 1e6 / BEAT_AND_BATCH_MS for part in parts]
    told = f"{statistics.median(ratios) * BEAT_AND_BATCH_MS:.0f} / {BEAT_AND_BATCH_MS} ms, {len(every)} claims"
    detail = f"{told}, p50 {p50 / 1e6:.0f} ms, p90 {p90 / 1e6:.0f} ms; range of {windows} windows"
    return Figure.of(ratios, "<= 2.0", "p99 of claimed less true staleness of OLAP / beat and batch interval", detail)


async def _measured(atlas: Launched, windows: int, seconds: float) -> list[list[int]]:
    """Return by how much each claim exceeds the truth, in nanoseconds, by window."""
    notes = Notebook(History("make bench-freshness ROWS=P13", "processes", 0), random.Random(13))
    async with (
        aio.insecure_channel(atlas.ingest) as ingest,
        aio.insecure_channel(atlas.query) as query,
        AtlasClient.connect(atlas.ingest, atlas.query) as client,
    ):
        tenant = (await client.create_tenant("tightness")).tenant_id
        load = Workload(ingest, query, notes, [tenant], asyncio.Event())
        await load.begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.beat(tenant), name="metronome")
            group.create_task(_reads(query, notes, tenant, load.over), name="reader")
            await asyncio.sleep(WARM)  # its length is what is warmed up
            marks = [now()]
            for _ in range(windows):
                await asyncio.sleep(WINDOW * seconds)  # its length is the measure's
                marks.append(now())
            load.over.set()
    found = [one for one in slacks(facts_of(notes.history)) if one.read.answer and one.read.answer.source == "olap"]
    spans = list(itertools.pairwise(marks))
    return [[one.excess for one in found if begin <= one.read.sent.at < end] for begin, end in spans]


async def _reads(query: aio.Channel, notes: Notebook, tenant: int, over: asyncio.Event) -> None:
    reader, (entity, attribute) = Reader(query, notes), METRONOME.split("/")
    while not over.is_set():
        await reader.read(tenant, wire.entity(tenant, entity, (attribute,)), OLAP, "fail_fast")
        await asyncio.sleep(notes.chance.expovariate(1 / PAUSE))
