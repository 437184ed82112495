"""The loop against stores that fail, restart and repeat: a watermark that holds is never ahead of the rows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from atlas_olap_sink import patience
from atlas_olap_sink.inserting import HISTORY_TABLE, Inserter
from atlas_olap_sink.pipeline import PARTITIONS, Pipeline, Rhythm
from atlas_olap_sink.publishing import Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.terms import Terms
from atlas_olap_sink.traces import Traces
from atlaskit.clickhouse.watermark import Place, Watermark
from atlaskit.clock import BootInstant
from atlaskit.errors import Unavailable
from atlaskit.kafka.consumer import Commit, Extent, Partition, Record
from atlaskit.position import SourceIdentity
from atlaskit.postgres.terms import TermId, TermKind
from doubles.change_events import KafkaRecord, beat_row, event, history_row
from opentelemetry.trace import NoOpTracer

TABLE = "entity_attributes"
SHARDS = (0, 1)


class Killed(Exception):
    """The process ends here, in the middle of whatever it did."""


def end_now_and_then(chance: random.Random) -> None:
    if chance.random() < 0.02:
        raise Killed


class HandClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def boot(self) -> BootInstant:
        return BootInstant(int(self.seconds * 1e9))

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


class Log:
    """Kafka: partitions that only grow, and the commits of one group. It forgets nothing; a reader may."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.records: dict[Partition, list[KafkaRecord]] = {partition: [] for partition in PARTITIONS}
        self.kept: dict[Partition, Commit] = {}
        self.positions: dict[Partition, int] = {}

    def append(self, shard: int, value: bytes) -> None:
        held = self.records[Partition(f"atlas.{TABLE}", shard)]
        held.append(KafkaRecord(len(held), value))

    def send_again(self, shard: int, count: int) -> None:
        for record in list(self.records[Partition(f"atlas.{TABLE}", shard)][-count:]):
            assert record.value is not None
            self.append(shard, record.value)

    async def commits(self) -> dict[Partition, Commit]:
        return dict(self.kept)

    async def extents(self) -> dict[Partition, Extent]:
        return {partition: Extent(0, len(held)) for partition, held in self.records.items()}

    def seek(self, partition: Partition, offset: int) -> None:
        self.positions[partition] = offset

    async def batch(self, *, wait: timedelta, gather: timedelta, limit: int) -> dict[Partition, list[Record]]:
        end_now_and_then(self.chance)
        taken: dict[Partition, list[Record]] = {}
        for partition, held in self.records.items():
            begin = self.positions[partition]
            if found := held[begin : begin + self.chance.randint(1, limit)]:
                taken[partition] = list(found)
                self.positions[partition] = found[-1].offset + 1
        if self.chance.random() < 0.1:
            raise Unavailable("the broker went away after it had answered in part")
        return taken

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        end_now_and_then(self.chance)
        if self.chance.random() < 0.1:
            raise Unavailable("the commit was not answered")
        self.kept.update(commits)
        end_now_and_then(self.chance)


class Engine:
    """ClickHouse: a restart forgets the incarnation and any insert of the last ten minutes; it may fail half-way."""

    def __init__(self, chance: random.Random, clock: HandClock) -> None:
        self.chance, self.clock = chance, clock
        self.rows: dict[int, float] = {}
        self.marks: dict[tuple[Place, UUID], Watermark] = {}
        self.life: UUID | None = None

    def restart(self) -> None:
        self.life = None
        doubted = [row for row, at in self.rows.items() if self.clock.seconds - at < 600]
        for row in doubted:
            if self.chance.random() < 0.5:
                del self.rows[row]

    async def insert(self, table: str, columns: Mapping[str, Any]) -> None:
        assert table == HISTORY_TABLE
        fails = self.chance.random() < 0.1
        for version in columns["row_version"].tolist():
            if not fails or self.chance.random() < 0.5:
                self.rows.setdefault(version, self.clock.seconds)  # an older part keeps its copy
        end_now_and_then(self.chance)
        if fails:
            raise Unavailable("the insert was not answered")

    async def incarnation(self) -> UUID | None:
        return self.life

    async def begin_incarnation(self) -> UUID:
        self.life = uuid4()
        if self.chance.random() < 0.2:
            raise Unavailable("begun, but not answered")
        return self.life

    async def durable(self) -> bool:
        return True

    async def proven(self, places: Sequence[Place]) -> frozenset[Place]:
        return frozenset(place for (place, _), mark in self.marks.items() if mark.incarnation == self.life)

    async def stored(self) -> frozenset[Place]:
        return frozenset(place for place, _ in self.marks)

    async def publish(self, watermarks: Sequence[Watermark]) -> None:
        for mark in watermarks:
            kept = self.marks.get(((mark.table, mark.shard), mark.monitor))
            if kept is None or kept.beat <= mark.beat:
                self.marks[(mark.table, mark.shard), mark.monitor] = mark
        end_now_and_then(self.chance)
        if self.chance.random() < 0.1:
            raise Unavailable("published, but not answered")


async def _terms(kind: TermKind, wanted: Collection[TermId]) -> dict[TermId, str]:
    return dict.fromkeys(wanted, "text")


async def _epoch(epoch: int) -> SourceIdentity:
    return SourceIdentity(1, epoch)


def sink(log: Log, engine: Engine, clock: HandClock) -> Pipeline:
    stop = asyncio.Event()
    return Pipeline(
        source=log,
        store=engine,
        inserter=Inserter(engine, Terms(_terms, 100), stop),
        publisher=Publisher(engine, _epoch),
        traces=Traces(NoOpTracer()),
        quarantine=Quarantine(None),
        clock=clock,
        rhythm=Rhythm(rows=7),
        stop=stop,
    )


class World:
    """All of it, with what is true: the rows committed before each beat."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = HandClock()
        self.log, self.engine = Log(self.chance), Engine(self.chance, self.clock)
        self.monitor, self.beat, self.version = uuid4(), 0, 0
        self.committed: dict[int, set[int]] = {shard: set() for shard in SHARDS}
        self.truth: dict[tuple[int, UUID, int], frozenset[int]] = {}

    def write(self) -> None:
        shard = self.chance.choice(SHARDS)
        self.version += 1
        self.committed[shard].add(self.version)
        self.log.append(shard, event(TABLE, history_row(self.version, shard)))

    def pulse(self) -> None:
        self.beat += 1
        for shard in SHARDS:
            self.truth[shard, self.monitor, self.beat] = frozenset(self.committed[shard])
            self.log.append(shard, event(f"{TABLE}_beat", beat_row(self.monitor, self.beat, shard), "u"))

    def check(self) -> None:
        for ((_, shard), monitor), mark in self.engine.marks.items():
            if mark.incarnation == self.engine.life:
                missing = self.truth[shard, monitor, mark.beat] - self.engine.rows.keys()
                assert not missing, f"beat {mark.beat} of shard {shard} holds, and rows {sorted(missing)} are not there"


async def started(world: World) -> Pipeline:
    while True:
        pipeline = sink(world.log, world.engine, world.clock)
        try:
            await patience.persist("starting", pipeline.start, asyncio.Event())
        except Killed:
            continue
        return pipeline


async def stepped(world: World, pipeline: Pipeline) -> Pipeline:
    try:
        await pipeline.step()
    except* Killed:
        pipeline = await started(world)
    return pipeline


@pytest.mark.parametrize("seed", range(60))
async def test_a_watermark_that_holds_is_never_ahead_of_the_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.0)
    world = World(seed)
    pipeline = await started(world)
    for _ in range(250):
        world.clock.seconds += world.chance.choice((0.1, 1, 30, 400))
        match world.chance.choices(range(6), (6, 3, 6, 0.4, 0.4, 0.4))[0]:
            case 0:
                world.write()
            case 1:
                world.pulse()
            case 2:
                pipeline = await stepped(world, pipeline)
            case 3:
                pipeline = await started(world)
            case 4:
                world.engine.restart()
            case 5:
                world.log.send_again(world.chance.choice(SHARDS), world.chance.randint(1, 9))
        world.check()
    await _catch_up(world, pipeline)


async def _catch_up(world: World, pipeline: Pipeline) -> None:
    world.pulse()
    for _ in range(300):
        world.clock.seconds += 2
        pipeline = await stepped(world, pipeline)
        world.check()
    assert world.engine.rows.keys() == world.committed[0] | world.committed[1]
    for shard in SHARDS:
        mark = world.engine.marks[(TABLE, shard), world.monitor]
        assert (mark.beat, mark.incarnation) == (world.beat, world.engine.life)


@pytest.mark.parametrize(
    ("value", "code", "claimed"),
    [
        (event(TABLE, history_row(99, 0), "d"), "DELETED", [{1}, {0, 1, 2}]),
        (b"{", "UNDECODABLE", [{1}, {2}]),
        (event(TABLE, history_row(99, 0, value_int="x")), "UNDECODABLE", [{1}, {2}]),
        (event(TABLE, history_row(99, 1)), "WRONG_PARTITION", [{1}, {0, 1, 2}]),
    ],
)
async def test_what_cannot_be_stored_freezes_whom_it_may_concern(
    value: bytes, code: str, claimed: list[set[int]]
) -> None:
    world = World(1)
    world.chance.random = lambda: 1.0  # type: ignore[method-assign]  # nothing fails here
    world.write()
    world.pulse()
    world.log.append(0, value)
    world.pulse()
    for _ in range(2):
        pipeline = await started(world)
        for _ in range(20):
            world.clock.seconds += 2
            await pipeline.step()
        marks = {place[1]: mark.beat for (place, _), mark in world.engine.marks.items()}
        found = [marks.get(shard, 0) for shard in SHARDS]
        assert all(beat in allowed for beat, allowed in zip(found, claimed, strict=True))
        assert code in str(pipeline.progress[Partition(f"atlas.{TABLE}", 0)].frozen)
        frozen = [at.number for at, progress in pipeline.progress.items() if progress.frozen]
        assert frozen == {"DELETED": [*range(10)], "UNDECODABLE": [0], "WRONG_PARTITION": [0, 1]}[code]
    assert 99 not in world.engine.rows
