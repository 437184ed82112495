"""What is kept of each partition: its state at proven beats, and its offsets behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from atlaskit.cdc.intervals import Intervals
from atlaskit.cdc.topics import BY_NAME
from atlaskit.clickhouse.watermark import Place
from atlaskit.clock import Clock
from atlaskit.kafka.consumer import Commit, Partition
from atlaskit.kafka.states import States as StatesTopic

from atlas_olap_sink.advance import Progress, committable
from atlas_olap_sink.auditing import Audit
from atlas_olap_sink.state import Mark, Repair, State, decoded, in_doubt, marked

VOID = "void"
MAX_REPAIRS = 500  # of one partition that are kept by transaction; beyond it the table and shard as a whole


class States(Protocol):
    """Keeps the last state of each partition, and the transactions that a failover lost.

    Each call raises an AtlasError if it fails."""

    async def load(self) -> tuple[dict[Partition, State], Intervals]: ...
    async def save(self, states: Mapping[Partition, State]) -> None: ...
    async def save_void(self, runs: Collection[tuple[int, int]]) -> None: ...


class Committing(Protocol):
    """What remembers offsets, for those who watch how far the sink is."""

    async def commit(self, commits: Mapping[Partition, Commit]) -> None: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one partition beside its audit: the offset, earlier places, and repairs."""

    offset: int = -1
    marks: tuple[Mark, ...] = ()
    repairs: tuple[Repair, ...] = ()


def kept_of(state: State | None, *, proven: bool, incarnation: UUID, now: int) -> Kept:
    """Return what goes on of a state under this incarnation of ClickHouse.

    Under another than it was made in, what was in doubt has been inserted again, or will be: that is as young as its
    repetition, so younger places do not count any more, and repairs count from now on if they are `proven` at all.
    """
    if state is None:
        return Kept()
    if proven and state.incarnation == incarnation:
        return Kept(state.offset, state.marks, state.repairs)
    sure = tuple(mark for mark in state.marks if mark.beyond_doubt(state.at))[-1:]
    repairs = tuple(replace(repair, at=now) for repair in in_doubt(state.repairs, state.at)) if proven else ()
    return Kept(state.offset, sure, repairs)


class Keeper:
    """Keeps states, and then commits offsets: a state always stands at or behind its offset, and is what counts."""

    def __init__(self, source: Committing, states: States, clock: Clock) -> None:
        self._source, self._states, self._clock = source, states, clock
        self._kept: dict[Partition, Kept] = {}
        self._incarnation = UUID(int=0)
        self._asked = self._alive_at = 0
        self._void: set[tuple[int, int]] = set()

    def begin(self, kept: Mapping[Partition, Kept], incarnation: UUID) -> None:
        """Go on from what was kept, under this incarnation of ClickHouse."""
        self._kept, self._incarnation = dict(kept), incarnation

    def repaired(self, place: Place, key: int | None) -> None:
        """Remember what came from PostgreSQL: a transaction, or with None a whole table and shard."""
        at = Partition(f"atlas.{place[0]}", place[1])
        kept, repair = self._kept.get(at, Kept()), Repair(key, self._now())
        repairs = (repair,) if key is None else (*(one for one in kept.repairs if one.key != key), repair)
        if len(repairs) > MAX_REPAIRS:
            repairs = (Repair(None, self._now()),)
        self._kept[at] = replace(kept, repairs=repairs)

    def alive(self) -> None:
        """Take note that ClickHouse is about to be asked whether it still lives; call it before the question."""
        self._asked = self._now()

    def lived(self) -> None:
        """Take note that it did: whatever was acknowledged before the question was there then."""
        self._alive_at = self._asked

    async def keep_void(self, void: Intervals) -> None:
        """Keep the transactions that a failover lost; before anything is claimed that rests on their absence."""
        if fresh := [run for run in void.runs() if run not in self._void]:
            await self._states.save_void(fresh)
            self._void.update(fresh)

    async def commit(self, progress: Mapping[Partition, Progress], audit: Audit) -> None:
        """Keep the state of each partition that has proven more than before, and then its offset.

        What is kept is as old as the last sign of life: a commit that comes late proves nothing of the time between.
        """
        due = self._due(progress, audit, self._alive_at)
        if due:
            await self._states.save(due)
            await self._source.commit({at: Commit(state.offset, "") for at, state in due.items()})
            self._kept.update({at: Kept(state.offset, state.marks, state.repairs) for at, state in due.items()})
        audit.ledger.forget_before(audit.least_proven())

    def _due(self, progress: Mapping[Partition, Progress], audit: Audit, at_s: int) -> dict[Partition, State]:
        bases = audit.bases()
        due: dict[Partition, State] = {}
        for at, one in progress.items():
            shard, kept = audit.shards[BY_NAME[at.topic].table, at.number], self._kept.get(at, Kept())
            offset = committable(one, shard)
            if offset is not None and offset > kept.offset:
                due[at] = State(
                    offset=offset,
                    at=at_s,
                    incarnation=self._incarnation,
                    seen=dict(shard.counted),
                    ledger=bases[shard.proven],
                    marks=marked(kept.marks, offset, at_s),
                    repairs=in_doubt(kept.repairs, at_s),
                )
        return due

    def _now(self) -> int:
        return int(self._clock.wall().timestamp())


def proven_writers(states: Mapping[Partition, State], partitions: Collection[Partition]) -> dict[int, int]:
    """Return the last sequence of each writer that all of these partitions have proven; none if one has no state."""
    if any(at not in states for at in partitions):
        return {}
    return dict(min((states[at].ledger for at in partitions), key=lambda ledger: ledger.offset).writers)


class KafkaStates:
    """States in a compacted topic, under the name of the sink's group."""

    def __init__(self, topic: StatesTopic, group: str) -> None:
        self._topic = topic
        self._prefix = f"{group}/"

    async def load(self) -> tuple[dict[Partition, State], Intervals]:
        """Return the last state of each partition, one that cannot be read left out, and the void transactions."""
        states: dict[Partition, State] = {}
        void = Intervals()
        for key, text in (await self._topic.load(self._prefix)).items():
            name, _, number = key.removeprefix(self._prefix).rpartition("/")
            if name == VOID:
                first, _, last = number.partition("-")
                void.add_run(int(first), int(last))
            elif name in BY_NAME and (state := decoded(text)) is not None:
                states[Partition(name, int(number))] = state
        return states, void

    async def save(self, states: Mapping[Partition, State]) -> None:
        """Return once all of these are kept."""
        await self._topic.save({f"{self._prefix}{at.topic}/{at.number}": one.encoded() for at, one in states.items()})

    async def save_void(self, runs: Collection[tuple[int, int]]) -> None:
        """Return once these runs of transactions are kept; each under a key of its own, since others keep theirs."""
        await self._topic.save({f"{self._prefix}{VOID}/{first}-{last}": b"{}" for first, last in runs})
