"""PostgreSQL, Kafka and ClickHouse as a sink meets them, with failures drawn from one seed; and what is true."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from atlas_olap_sink.inserting import HISTORY_TABLE, Inserter
from atlas_olap_sink.pipeline import PARTITIONS, Pipeline, Rhythm
from atlas_olap_sink.publishing import Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.repairing import Repairs
from atlas_olap_sink.sharing import LEDGER_PARTITION
from atlas_olap_sink.state import State, decoded
from atlas_olap_sink.terms import Terms
from atlas_olap_sink.traces import Traces
from atlaskit.cdc.intervals import Intervals
from atlaskit.cdc.ledger import LedgerRow, ledger_row_from
from atlaskit.clickhouse.watermark import Place, Watermark
from atlaskit.clock import BootInstant
from atlaskit.errors import Unavailable
from atlaskit.kafka.consumer import Commit, Extent, Partition, Record
from atlaskit.kafka.errors import OffsetLost
from atlaskit.model import ROW_INDEX_BITS
from atlaskit.position import SourceIdentity
from atlaskit.postgres.repair import Identity
from atlaskit.postgres.terms import TermId, TermKind
from doubles.change_events import KafkaRecord, beat_row, event, history_row
from opentelemetry.trace import NoOpTracer

TABLE = "entity_attributes"
SHARDS = (0, 1)
Row = dict[str, Any]


class Killed(Exception):
    """The process ends here, in the middle of whatever it did."""


class Chance(random.Random):
    """What happens. `peril` is the chance that a process ends at any of the places where it may."""

    peril = 0.02


def end_now_and_then(chance: Chance) -> None:
    if chance.random() < chance.peril:
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
    """Kafka: partitions that grow, and may lose their oldest records; and the states of one sink."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.records: dict[Partition, list[KafkaRecord]] = {partition: [] for partition in PARTITIONS}
        self.begins: dict[Partition, int] = dict.fromkeys(PARTITIONS, 0)
        self.offsets: dict[Partition, Commit] = {}
        self.states: dict[Partition, bytes] = {}
        self.positions: dict[Partition, int] = {}
        self.held: set[Partition] = set()
        self.void: set[tuple[int, int]] = set()

    def append(self, partition: Partition, value: bytes | None) -> None:
        held = self.records[partition]
        held.append(KafkaRecord(len(held), value))

    def send_again(self, partition: Partition, count: int) -> None:
        for record in list(self.records[partition][-count:]):
            self.append(partition, record.value)

    async def extents(self) -> dict[Partition, Extent]:
        return {partition: Extent(self.begins[partition], len(held)) for partition, held in self.records.items()}

    def seek(self, partition: Partition, offset: int) -> None:
        self.positions[partition] = offset

    def hold(self, partitions: Collection[Partition]) -> None:
        self.held = set(partitions)

    async def batch(
        self, *, wait: timedelta, gather: timedelta, limit: int, whole: Callable[[Record], bool]
    ) -> dict[Partition, list[Record]]:
        end_now_and_then(self.chance)
        taken: dict[Partition, list[Record]] = {}
        for partition, held in self.records.items():
            begin = self.positions[partition]
            if begin < self.begins[partition]:
                raise OffsetLost(f"{partition} begins at {self.begins[partition]}")
            if partition not in self.held and (found := held[begin : begin + self.chance.randint(1, limit)]):
                taken[partition] = list(found)
                self.positions[partition] = found[-1].offset + 1
        if self.chance.random() < 0.1:
            raise Unavailable("the broker went away after it had answered in part")
        return taken

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        end_now_and_then(self.chance)
        if self.chance.random() < 0.1:
            raise Unavailable("the commit was not answered")
        self.offsets.update(commits)
        end_now_and_then(self.chance)

    async def load(self) -> tuple[dict[Partition, State], Intervals]:
        found = {at: decoded(text) for at, text in self.states.items()}
        assert all(found.values())
        void = Intervals()
        for first, last in self.void:
            void.add_run(first, last)
        return {at: state for at, state in found.items() if state is not None}, void

    async def save_void(self, runs: Collection[tuple[int, int]]) -> None:
        end_now_and_then(self.chance)
        self.void.update(runs)

    async def save(self, states: Mapping[Partition, State]) -> None:
        for partition, state in states.items():
            self.states[partition] = state.encoded()
            end_now_and_then(self.chance)
        if self.chance.random() < 0.05:
            raise Unavailable("kept, but not answered")


class Engine:
    """ClickHouse: a restart forgets the incarnation and any insert of the last ten minutes; it may fail half-way."""

    def __init__(self, chance: Chance, clock: HandClock) -> None:
        self.chance, self.clock = chance, clock
        self.rows: dict[int, float] = {}
        self.shards: dict[int, int] = {}
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
        for version, shard in zip(columns["row_version"].tolist(), columns["shard"].tolist(), strict=True):
            if not fails or self.chance.random() < 0.5:
                self.rows.setdefault(version, self.clock.seconds)  # an older part keeps its copy
                self.shards[version] = shard
        end_now_and_then(self.chance)
        if fails:
            raise Unavailable("the insert was not answered")

    async def holding(self, keys: Collection[int]) -> frozenset[Place]:
        return frozenset((TABLE, self.shards[row]) for row in self.rows if row >> ROW_INDEX_BITS in keys)

    async def identities(self, place: Place, keys: Collection[int]) -> Sequence[Identity]:
        return [Identity(1, version, "key", 0) for version in self._of(place, keys)]

    async def purge(self, place: Place, keys: Collection[int]) -> None:
        end_now_and_then(self.chance)
        for version in self._of(place, keys):
            del self.rows[version]

    def _of(self, place: Place, keys: Collection[int]) -> list[int]:
        if place[0] != TABLE:
            return []
        return [row for row in self.rows if row >> ROW_INDEX_BITS in keys and self.shards[row] == place[1]]

    async def incarnation(self) -> UUID | None:
        return self.life

    async def begin_incarnation(self) -> UUID:
        self.life = uuid4()
        if self.chance.random() < 0.2:
            raise Unavailable("begun, but not answered")
        return self.life

    async def durable(self) -> bool:
        return True

    async def watermarks(self, places: Sequence[Place]) -> Sequence[Watermark]:
        return [mark for (place, _), mark in self.marks.items() if mark.incarnation == self.life and place in places]

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


@dataclass
class Committed:
    """One transaction as PostgreSQL has it: its rows by shard, and its row of the ledger."""

    rows: dict[int, list[Row]]
    ledger: Row


@dataclass
class Moment:
    """A snapshot of the primary."""

    writers: dict[int, int]
    transactions: list[Committed]

    async def pages(self, table: str, shard: int) -> AsyncIterator[list[Row]]:
        if table == TABLE and (rows := [row for one in self.transactions for row in one.rows.get(shard, ())]):
            yield rows


class Primary:
    """PostgreSQL: what is committed, and what a failover leaves of it."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.epoch, self.number, self.writer = 1, 0, 0
        self.writers: dict[int, int] = {}
        self.committed: dict[int, Committed] = {}
        self.rereads = 0  # how often rows of transactions were asked for

    def commit(self, shards: Sequence[int]) -> Committed:
        """Commit a transaction of one of two writers with a row or more in each of these shards."""
        self.number += 1
        key = self.epoch << 38 | self.number
        writer = self.epoch << 48 | (self.writer + self.chance.randint(1, 2))
        sequence = self.writers.get(writer, 0) + 1
        rows: dict[int, list[Row]] = {}
        for index, shard in enumerate(shards):
            rows.setdefault(shard, []).append(history_row(key << ROW_INDEX_BITS | index, shard))
        entries = [
            [TABLE, shard, len(found), str(_signed(sum(row["row_version"] for row in found)))]
            for shard, found in rows.items()
        ]
        ledger = {
            "writer": writer,
            "sequence": sequence,
            "transaction_number": self.number,
            "row_version": key << ROW_INDEX_BITS,
            "entries": json.dumps(entries),
            "traceparents": "[]",
            "created_at": "2026-01-01T00:00:00Z",
            "shard": 0,
        }
        self.writers[writer] = sequence
        self.committed[key] = Committed(rows, ledger)
        return self.committed[key]

    def fail_over(self, lost: int) -> set[int]:
        """Promote a standby that lacks the last transactions; return their keys. Their numbers are given again."""
        gone = list(self.committed)[-lost:] if lost else []
        for key in gone:
            ledger = self.committed.pop(key).ledger
            self.writers[ledger["writer"]] -= 1
            self.number = min(self.number, ledger["transaction_number"] - 1)
        self.epoch += 1
        self.writer += 2
        return set(gone)

    async def ledger_of_writer(self, writer: int, first: int, last: int) -> Sequence[LedgerRow]:
        self._may_fail()
        ledger = (one.ledger for one in self.committed.values())
        found = [row for row in ledger if row["writer"] == writer and first <= row["sequence"] <= last]
        return [ledger_row_from(row) for row in found]

    async def ledger_of_transactions(self, keys: Collection[int]) -> Sequence[LedgerRow]:
        self._may_fail()
        return [ledger_row_from(self.committed[key].ledger) for key in keys if key in self.committed]

    async def surviving(self, first: int, last: int) -> Sequence[int]:
        self._may_fail()
        return [key for key in self.committed if first <= key <= last]

    async def last_sequences(self) -> Mapping[int, int]:
        self._may_fail()
        return dict(self.writers)

    async def rows_of_transactions(self, table: str, shard: int, keys: Collection[int]) -> Sequence[Row]:
        self._may_fail()
        self.rereads += 1
        found = (self.committed[key] for key in keys if table == TABLE and key in self.committed)
        return [row for one in found for row in one.rows.get(shard, [])]

    async def rows_of_identities(self, identities: Sequence[Identity]) -> Sequence[Row]:
        self._may_fail()
        wanted = {identity.entity_id for identity in identities}
        rows = (row for one in self.committed.values() for found in one.rows.values() for row in found)
        return [row for row in rows if row["row_version"] in wanted]

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Moment]:
        self._may_fail()
        yield Moment(dict(self.writers), list(self.committed.values()))

    def _may_fail(self) -> None:
        if self.chance.random() < 0.1:
            raise Unavailable("the primary is away")


def _signed(total: int) -> int:
    return (total + (1 << 63)) % (1 << 64) - (1 << 63)


async def _epoch(epoch: int) -> SourceIdentity:
    return SourceIdentity(1, epoch)


@dataclass
class Sink:
    """One life of the sink."""

    pipeline: Pipeline
    repairs: Repairs


@dataclass
class World:
    """All of it, with what is true: the rows committed before each beat."""

    seed: int
    loss: float = 0.0  # share of events that never reach Kafka
    chance: Chance = field(init=False)
    monitor: UUID = field(default_factory=uuid4)
    beat: int = 0
    truth: dict[tuple[int, UUID, int], set[int]] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)  # ids of a dictionary that the primary does not have

    def __post_init__(self) -> None:
        self.chance = Chance(self.seed)
        self.clock = HandClock()
        self.log, self.engine = Log(self.chance), Engine(self.chance, self.clock)
        self.primary = Primary(self.chance)

    def sink(self) -> Sink:
        stop = asyncio.Event()
        inserter = Inserter(self.engine, Terms(self.terms, 100), stop)
        repairs = Repairs(self.primary, self.engine, inserter)
        pipeline = Pipeline(
            source=self.log,
            states=self.log,
            store=self.engine,
            inserter=inserter,
            repairs=repairs,
            publisher=Publisher(self.engine, _epoch),
            traces=Traces(NoOpTracer()),
            quarantine=Quarantine(None),
            clock=self.clock,
            rhythm=Rhythm(rows=7),
            stop=stop,
        )
        return Sink(pipeline, repairs)

    async def terms(self, kind: TermKind, wanted: Collection[TermId]) -> dict[TermId, str]:
        return {term: "text" for term in wanted if term[1] not in self.unknown}

    def write(self) -> Committed:
        done = self.primary.commit([self.chance.choice(SHARDS) for _ in range(self.chance.randint(1, 5))])
        for shard, rows in done.rows.items():
            for row in rows:
                self.send(Partition(f"atlas.{TABLE}", shard), event(TABLE, row))
        self.send(LEDGER_PARTITION, event("ingest_batches", done.ledger))
        return done

    def send(self, partition: Partition, value: bytes) -> None:
        if self.chance.random() >= self.loss:
            self.log.append(partition, value)

    def pulse(self) -> None:
        self.beat += 1
        rows = [row for one in self.primary.committed.values() for found in one.rows.values() for row in found]
        for shard in SHARDS:
            committed = {row["row_version"] for row in rows if row["shard"] == shard}
            self.truth[shard, self.monitor, self.beat] = committed
        for at in PARTITIONS:
            beat = {**beat_row(self.monitor, self.beat, at.number), "epoch": self.primary.epoch}
            if at == LEDGER_PARTITION:
                beat["vector"] = json.dumps({str(writer): last for writer, last in self.primary.writers.items()})
            table = at.topic.removeprefix("atlas.")
            self.send(at, event(f"{table}_beat", beat, "u"))

    def fail_over(self) -> None:
        """Promote; the new primary has a monitor of its own, as after a restart of it."""
        gone = self.primary.fail_over(self.chance.randint(0, min(6, len(self.primary.committed))))
        self.lost |= gone
        self.monitor, self.beat = uuid4(), 0

    def engine_restarts(self) -> None:
        self.engine.restart()

    def repeat(self) -> None:
        """Deliver the last events of a shard once more."""
        at = Partition(f"atlas.{TABLE}", self.chance.choice(SHARDS))
        self.log.send_again(at, self.chance.randint(1, 9))

    def trim(self) -> None:
        """Lose the oldest records of a partition."""
        at = self.chance.choice([*self.log.begins])
        self.log.begins[at] = self.chance.randint(self.log.begins[at], len(self.log.records[at]))

    def check(self) -> None:
        for ((table, shard), monitor), mark in self.engine.marks.items():
            if table != TABLE or mark.incarnation != self.engine.life or mark.epoch != self.primary.epoch:
                continue
            if shard in SHARDS:
                missing = self.truth[shard, monitor, mark.beat] - self.engine.rows.keys()
                assert not missing, f"beat {mark.beat} of shard {shard} holds, and rows {sorted(missing)} are not there"
                phantoms = {
                    row
                    for row in self.engine.rows
                    if row >> ROW_INDEX_BITS in self.lost - self.primary.committed.keys()
                    and self.engine.shards[row] == shard
                }
                assert not phantoms, (
                    f"beat {mark.beat} of shard {shard} holds, and lost rows {sorted(phantoms)} are there"
                )

    def committed(self) -> set[int]:
        rows = (row for one in self.primary.committed.values() for found in one.rows.values() for row in found)
        return {row["row_version"] for row in rows}
