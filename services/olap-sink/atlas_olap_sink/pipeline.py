"""The sink's loop: read, decode, insert, and only then claim and commit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import structlog
from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.cdc.envelope import Fault, read_segment
from atlaskit.cdc.topics import BY_NAME, CAPTURED
from atlaskit.clickhouse.watermark import Place
from atlaskit.clock import Clock
from atlaskit.errors import AtlasError
from atlaskit.kafka.consumer import Commit, Extent, Partition, Record
from atlaskit.kafka.errors import OffsetLost

from atlas_olap_sink.advance import Progress, acknowledged, claimed, claims, committable, froze
from atlas_olap_sink.checkpoint import NOTHING, Checkpoint, advanced
from atlas_olap_sink.decoding import Batch, decode
from atlas_olap_sink.inserting import Inserter
from atlas_olap_sink.patience import Stopping, persist
from atlas_olap_sink.publishing import Outcome, Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.report import Report
from atlas_olap_sink.start import again, doubted, remembered, starting
from atlas_olap_sink.store import Store
from atlas_olap_sink.traces import Inserted, Traces, now_ns

log = structlog.get_logger(__name__)

PARTITIONS = tuple(Partition(topic.name, number) for topic in CAPTURED for number in range(topic.partitions))


class Source(Protocol):
    """Records in, offsets out. Each call raises an AtlasError if it fails."""

    async def commits(self) -> dict[Partition, Commit]: ...
    async def extents(self) -> dict[Partition, Extent]: ...
    def seek(self, partition: Partition, offset: int) -> None: ...
    async def batch(self, *, wait: timedelta, gather: timedelta, limit: int) -> dict[Partition, list[Record]]: ...
    async def commit(self, commits: Mapping[Partition, Commit]) -> None: ...


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How much is taken at a time, and how often what is proven is said and remembered."""

    wait: timedelta = timedelta(milliseconds=100)  # for a first record
    gather: timedelta = timedelta(milliseconds=30)  # for more, after it
    rows: int = 20_000  # records in one batch
    commit: timedelta = timedelta(seconds=1)  # between two commits of offsets


class Pipeline:
    """Moves every partition forward, one batch at a time: all of it is acknowledged before the next is read."""

    def __init__(
        self,
        *,
        source: Source,
        store: Store,
        inserter: Inserter,
        publisher: Publisher,
        traces: Traces,
        quarantine: Quarantine,
        clock: Clock,
        rhythm: Rhythm,
        stop: asyncio.Event,
    ) -> None:
        self._source, self._store, self._inserter, self._publisher = source, store, inserter, publisher
        self._traces, self._quarantine, self._clock = traces, quarantine, clock
        self._rhythm, self._stop = rhythm, stop
        self._progress: dict[Partition, Progress] = {}
        self._kept: dict[Partition, Checkpoint] = {}  # as of the commits
        self._committed: dict[Partition, int] = {}
        self._commit_due = 0.0
        self._report = Report()

    @property
    def progress(self) -> Mapping[Partition, Progress]:
        """Return how far each partition is."""
        return self._progress

    async def run(self) -> None:
        """Work until told to stop; then publish and commit what is done. Stores may come and go meanwhile."""
        try:
            await persist("starting", self.start, self._stop)
            while not self._stop.is_set():
                await self.step()
            await self._publish()
            await self._commit()
        except Stopping as undone:
            log.warning("stopped before the work in flight was done; it is read again", undone=str(undone))
        except AtlasError as error:
            log.warning("stopped without the last publication or commit", problem=str(error))

    async def step(self) -> None:
        """Take one batch through: read, decode, insert, claim, commit."""
        records = await self._read()
        if records:
            await self._take(records)
        await persist("publishing watermarks", self._publish, self._stop)
        if self._clock.monotonic() >= self._commit_due:
            await self._commit_or_say()
        self._report.tell(self._clock.monotonic(), self._progress)

    async def start(self) -> None:
        """Find where each partition goes on. Raises an AtlasError if a store is away; then start again."""
        incarnation = await self._publisher.adopt()
        places = {place_of(partition) for partition in PARTITIONS}
        proven, stored = await self._store.proven(sorted(places)), await self._store.stored()
        commits, extents = await self._source.commits(), await self._source.extents()
        self._committed = {at: commit.offset for at, commit in commits.items()}
        for at in PARTITIONS:
            place, commit = place_of(at), commits.get(at)
            self._kept[at] = remembered(commit, proven=place in proven, stored=place in stored)
            self._progress[at] = starting(commit, self._kept[at], extents[at], proven=place in proven)
        self._seek_all()
        again_read = sum(progress.resume > progress.position for progress in self._progress.values())
        log.info("started", incarnation=str(incarnation), proven=len(proven), partitions_read_again=again_read)

    async def _read(self) -> dict[Partition, list[Record]]:
        rhythm = self._rhythm

        async def read() -> dict[Partition, list[Record]]:
            try:
                return await self._source.batch(wait=rhythm.wait, gather=rhythm.gather, limit=rhythm.rows)
            except OffsetLost:
                await self._freeze_lost()
                raise
            except AtlasError:
                # What a failed read had taken already was never handed over.
                self._seek_all()
                raise

        return await persist("reading from Kafka", read, self._stop)

    async def _freeze_lost(self) -> None:
        for partition, extent in (await self._source.extents()).items():
            progress = self._progress[partition]
            if not extent.begin <= progress.position <= extent.end:
                reason = f"offset {progress.position} is gone, Kafka holds {extent.begin} to {extent.end}"
                self._progress[partition] = replace(froze(progress, reason), position=extent.begin)
        self._seek_all()

    async def _take(self, records: Mapping[Partition, Sequence[Record]]) -> None:
        begun = self._clock.monotonic()
        batch = decode([read_segment(BY_NAME[at.topic], at.number, taken) for at, taken in records.items()])
        for segment in batch.segments:
            self._quarantine.keep(segment)
        decoded_at, start_ns = self._clock.monotonic(), now_ns()
        await self._inserter.insert(batch)
        self._advance(batch)
        self._traces.acknowledged(batch, Inserted(start_ns, now_ns()))
        self._report.count(batch.rows, decoded_at - begun, self._clock.monotonic() - decoded_at)

    def _advance(self, batch: Batch) -> None:
        for segment in batch.segments:
            at = Partition(segment.topic.name, segment.partition)
            first = segment.faults[0] if segment.faults else None
            progress = acknowledged(self._progress[at], segment.beats, segment.end, first.offset if first else None)
            self._progress[at] = froze(progress, f"{first.code} at offset {first.offset}") if first else progress
            for fault in segment.faults:
                self._freeze_others(at, fault)

    def _freeze_others(self, at: Partition, fault: Fault) -> None:
        for other in self._progress:
            if other.topic == at.topic and (fault.shard_unknown or other.number == fault.shard):
                reason = f"{fault.code} at offset {fault.offset} of partition {at.number}"
                self._progress[other] = froze(self._progress[other], reason)

    async def _publish(self) -> None:
        wanted = {at: found for at, progress in self._progress.items() if (found := claims(progress))}
        if not wanted:
            return
        outcome = await self._publisher.publish({place_of(at): beats for at, beats in wanted.items()})
        match outcome:
            case Outcome.PUBLISHED:
                self._claimed(wanted)
            case Outcome.RESTARTED:
                await self._insert_again()
            case Outcome.WITHDRAWN:
                pass

    def _claimed(self, wanted: Mapping[Partition, Sequence[ArrivedBeat]]) -> None:
        for at, beats in wanted.items():
            self._progress[at] = claimed(self._progress[at], beats)
        behind = {place_of(at): max(beat.offset for beat in beats) for at, beats in wanted.items()}
        self._traces.published(behind, now_ns())

    async def _insert_again(self) -> None:
        extents, stored = await self._source.extents(), await self._store.stored()
        kept = {at: doubted(self._kept.get(at, NOTHING), stored=place_of(at) in stored) for at in PARTITIONS}
        # Last of what can fail: once adopted, nothing may keep the partitions from going back.
        incarnation = await self._publisher.adopt()
        self._kept = kept
        for at in PARTITIONS:
            self._progress[at] = again(self._progress[at], kept[at], extents[at])
        self._seek_all()
        log.warning("ClickHouse was restarted: inserting the last rows again", incarnation=str(incarnation))

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
        now = int(self._clock.wall().timestamp())
        due: dict[Partition, Commit] = {}
        kept: dict[Partition, Checkpoint] = {}
        for at, progress in self._progress.items():
            offset = committable(progress)
            if offset is not None and offset > self._committed.get(at, -1):
                kept[at] = advanced(self._kept.get(at, NOTHING), progress.seen, offset, now)
                due[at] = Commit(offset, kept[at].encoded())
        if due:
            await self._source.commit(due)
            self._kept.update(kept)
            self._committed.update({at: commit.offset for at, commit in due.items()})


def place_of(partition: Partition) -> Place:
    """Return the table and shard whose rows a partition holds."""
    return BY_NAME[partition.topic].table, partition.number
