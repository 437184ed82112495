"""The sink's loop: read, decode, insert, audit, and only then claim and commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import structlog
from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.cdc.envelope import Fault, looks_like_a_beat, read_segment
from atlaskit.cdc.topics import BY_NAME
from atlaskit.clickhouse.watermark import Place
from atlaskit.clock import Clock
from atlaskit.errors import AtlasError
from atlaskit.kafka.consumer import Commit, Extent, Partition, Record
from atlaskit.kafka.errors import OffsetLost

from atlas_olap_sink.advance import Progress, ShardState, claimed, claims, froze, read_on, state_of
from atlas_olap_sink.auditing import Audit
from atlas_olap_sink.beginning import Beginning, Found
from atlas_olap_sink.decoding import Batch, decode
from atlas_olap_sink.hearing import Deaf, Hearing
from atlas_olap_sink.inserting import Inserter
from atlas_olap_sink.keeping import Keeper, States
from atlas_olap_sink.ledger import Basis, Ledger
from atlas_olap_sink.mending import Mending
from atlas_olap_sink.metrics import SinkMetrics
from atlas_olap_sink.patience import Stopping, persist
from atlas_olap_sink.publishing import Outcome, Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.repairing import Repairs
from atlas_olap_sink.report import Report
from atlas_olap_sink.sharing import EVERY_SHARD, LEDGER_PARTITION, partitions_of
from atlas_olap_sink.store import Store
from atlas_olap_sink.traces import Inserted, Traces, now_ns

log = structlog.get_logger(__name__)

PARTITIONS = partitions_of(EVERY_SHARD)


class Source(Protocol):
    """Records in, offsets out. Each call raises an AtlasError if it fails."""

    async def extents(self) -> dict[Partition, Extent]: ...
    def seek(self, partition: Partition, offset: int) -> None: ...
    def hold(self, partitions: Sequence[Partition]) -> None: ...
    async def batch(
        self, *, wait: timedelta, gather: timedelta, limit: int, whole: Callable[[Record], bool]
    ) -> dict[Partition, list[Record]]: ...
    async def commit(self, commits: Mapping[Partition, Commit]) -> None: ...


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How much is taken at a time, and how often what is proven is said and remembered."""

    wait: timedelta = timedelta(milliseconds=100)  # for a first record
    gather: timedelta = timedelta(milliseconds=30)  # for more, after it, until a beat has come everywhere
    rows: int = 20_000  # records in one batch
    commit: timedelta = timedelta(seconds=1)  # between two commits of offsets
    # Without a record from partitions that grow: beats come several times a second.
    silence: timedelta = timedelta(seconds=20)
    unbalanced_bytes: int = 64 * 1024 * 1024  # of rows whose ledger is awaited; beyond it only the ledger is read


class Pipeline:
    """Moves its partitions forward, one batch at a time: all of it is acknowledged before the next is read.

    Whoever else has some of the partitions does the same work again, which harms nothing: claims rest on what this
    process has seen itself, and rows replace themselves."""

    def __init__(
        self,
        *,
        source: Source,
        states: States,
        store: Store,
        inserter: Inserter,
        repairs: Repairs,
        publisher: Publisher,
        traces: Traces,
        quarantine: Quarantine,
        clock: Clock,
        rhythm: Rhythm,
        stop: asyncio.Event,
        partitions: Sequence[Partition] = PARTITIONS,
        metrics: SinkMetrics | None = None,
    ) -> None:
        self._metrics = metrics or SinkMetrics()
        self._source, self._inserter, self._publisher = source, inserter, publisher
        self._traces, self._quarantine, self._clock = traces, quarantine, clock
        self._rhythm, self._stop, self._repairs = rhythm, stop, repairs
        self._beginning = Beginning(source, states, store, repairs, clock=clock, partitions=partitions)
        self._keeper = Keeper(source, states, clock)
        self._report = Report()
        self._hearing = Hearing(rhythm.silence.total_seconds(), clock.monotonic())
        self._commit_due = 0.0
        self._progress: dict[Partition, Progress] = {}
        self._published: dict[Partition, float] = {}  # when a watermark was last published, monotonic seconds
        self._audit = Audit(Ledger(Basis()), {})
        self._mending = Mending(repairs, self._audit, self._keeper)

    @property
    def progress(self) -> Mapping[Partition, Progress]:
        """Return how far each partition is."""
        return self._progress

    def states(self) -> Mapping[Partition, ShardState]:
        """Return whether each partition is claimed, or what stands in the way."""
        return {at: state_of(one, self._audit.shards[place_of(at)]) for at, one in self._progress.items()}

    def ages(self) -> Mapping[Partition, float | None]:
        """Return the seconds since a watermark of each partition was published; None: none holds."""
        now, published = self._clock.monotonic(), self._published
        return {at: now - published[at] if at in published else None for at in self._progress}

    async def run(self) -> None:
        """Work until told to stop; then publish and commit what is done. Stores may come and go meanwhile.

        Returns earlier only if the source has to be opened again, and this pipeline be replaced by one over it."""
        try:
            async with asyncio.TaskGroup() as group:
                mending = group.create_task(self._repairs.run(), name="repairs")
                try:
                    await self._work()
                finally:
                    mending.cancel()
        except* Stopping as undone:
            log.warning(
                "stopped before the work in flight was done; it is read again", undone=str(undone.exceptions[0])
            )
        except* Deaf as deaf:
            log.error("the consumer of Kafka is replaced", problem=str(deaf.exceptions[0]))
        except* AtlasError as errors:
            log.warning("stopped without the last publication or commit", problem=str(errors.exceptions[0]))

    async def _work(self) -> None:
        await persist("starting", self.start, self._stop)
        while not self._stop.is_set():
            await self.step()
        await self._publish()
        await self._commit()

    async def start(self) -> None:
        """Find where each partition goes on. Raises an AtlasError if a store is away; then start again.

        Also the way back when ClickHouse was restarted, or Kafka lost a place: all is begun again from what was kept.
        """
        found: Found = await self._beginning.find(self._publisher)
        self._audit, self._progress = found.audit, dict(found.progress)
        self._published.clear()
        self._keeper.begin(found.kept, found.incarnation)
        self._mending = Mending(self._repairs, self._audit, self._keeper)
        self._seek_all()
        again_read = sum(progress.resume > progress.position for progress in self._progress.values())
        owed = sum(progress.owes is not None for progress in self._progress.values())
        log.info("started", partitions=len(self._progress), read_again=again_read, snapshots_owed=owed)

    async def step(self) -> None:
        """Take one batch through: read, decode, insert, audit, claim, commit."""
        records = await self._read()
        if records:
            await self._take(records)
        await self._mend()
        await persist("publishing watermarks", self._publish, self._stop)
        if self._clock.monotonic() >= self._commit_due:
            await self._commit_or_say()
        self._report.tell(self._clock.monotonic(), self._progress)

    async def _read(self) -> dict[Partition, list[Record]]:
        rhythm = self._rhythm
        full = self._audit.unbalanced_bytes > rhythm.unbalanced_bytes
        self._source.hold([at for at in self._progress if at != LEDGER_PARTITION] if full else [])

        async def read() -> dict[Partition, list[Record]]:
            try:
                return await self._source.batch(
                    wait=rhythm.wait, gather=rhythm.gather, limit=rhythm.rows, whole=looks_like_a_beat
                )
            except OffsetLost:
                await self.start()
                raise
            except AtlasError as error:
                # What a failed read had taken already was never handed over.
                self._seek_all()
                self._hearing.failed(self._clock.monotonic(), error)
                raise

        records = await persist("reading from Kafka", read, self._stop)
        await self._listen(heard=bool(records))
        return records

    async def _listen(self, *, heard: bool) -> None:
        if heard:
            self._hearing.heard(self._clock.monotonic())
        elif self._hearing.nothing(self._clock.monotonic()):
            log.warning("nothing has come from Kafka for a while")
            try:
                held = await self._source.extents()
            except AtlasError as error:
                self._hearing.unanswered(error)
            self._hearing.compare(self._clock.monotonic(), held)

    async def _take(self, records: Mapping[Partition, Sequence[Record]]) -> None:
        begun = self._clock.monotonic()
        batch = decode([read_segment(BY_NAME[at.topic], at.number, taken) for at, taken in records.items()])
        for segment in batch.segments:
            self._quarantine.keep(segment)
        decoded_at, start_ns = self._clock.monotonic(), now_ns()
        await self._inserter.insert(self._audit.stored(batch), self._mending.doubt)
        self._advance(batch)
        self._audit.take(batch)
        self._traces.acknowledged(batch, Inserted(start_ns, now_ns()))
        seconds = self._clock.monotonic() - decoded_at
        self._report.count(batch.rows, decoded_at - begun, seconds)
        self._metrics.inserted(seconds)

    def _advance(self, batch: Batch) -> None:
        for segment in batch.segments:
            at = Partition(segment.topic.name, segment.partition)
            self._progress[at] = read_on(self._progress[at], segment.end, segment.beats)
            for fault in segment.faults:
                self._freeze(at, fault)

    def _freeze(self, at: Partition, fault: Fault) -> None:
        """Freeze whom a delete may concern; other faults are rows that are missing, which the audit finds."""
        if fault.shard_unknown:
            reason = f"{fault.code} at offset {fault.offset} of partition {at.number}"
            for other in self._progress:
                if other.topic == at.topic:
                    self._progress[other] = froze(self._progress[other], reason)

    async def _mend(self) -> None:
        for place in await persist("withdrawing watermarks", self._mending_step, self._stop):
            at = partition_of(place)
            self._progress[at] = replace(self._progress[at], owes=None)
        self._mending.paid()
        self._mending.demand({place_of(at): progress for at, progress in self._progress.items()})

    async def _mending_step(self) -> frozenset[Place]:
        step = self._mending.apply()
        if step.withdraws:
            await self._publisher.withdraw(self._audit.shards)
            self._published.clear()
            self._mending.withdrawn()
        await self._keeper.keep_void(self._audit.void)
        return step.covered

    async def _publish(self) -> None:
        wanted = {
            at: found
            for at, progress in self._progress.items()
            if (found := claims(progress, self._audit.shards[place_of(at)]))
        }
        if not wanted:
            return
        self._keeper.alive()
        outcome = await self._publisher.publish({place_of(at): beats for at, beats in wanted.items()})
        match outcome:
            case Outcome.PUBLISHED:
                self._keeper.lived()
                self._claimed(wanted)
            case Outcome.RESTARTED:
                log.warning("ClickHouse was restarted: inserting the last rows again")
                await self.start()
            case Outcome.WITHDRAWN:
                pass

    def _claimed(self, wanted: Mapping[Partition, Sequence[ArrivedBeat]]) -> None:
        for at, beats in wanted.items():
            self._progress[at] = claimed(self._progress[at], beats)
            self._published[at] = self._clock.monotonic()
        behind = {place_of(at): max(beat.offset for beat in beats) for at, beats in wanted.items()}
        self._traces.published(behind, now_ns())

    def _seek_all(self) -> None:
        for partition, progress in self._progress.items():
            self._source.seek(partition, progress.position)

    async def _commit_or_say(self) -> None:
        self._commit_due = self._clock.monotonic() + self._rhythm.commit.total_seconds()
        try:
            await self._commit()
        except AtlasError as error:
            log.warning("committing offsets failed, the next one will do", problem=str(error))

    async def _commit(self) -> None:
        await self._keeper.commit(self._progress, self._audit)


def place_of(partition: Partition) -> Place:
    """Return the table and shard whose rows a partition holds."""
    return BY_NAME[partition.topic].table, partition.number


def partition_of(place: Place) -> Partition:
    """Return the partition that holds the rows of a table and shard."""
    return Partition(f"atlas.{place[0]}", place[1])
