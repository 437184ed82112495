"""How the sink begins: what was kept, what Kafka and ClickHouse still hold, and what follows for each partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from atlaskit.cdc.intervals import Intervals
from atlaskit.cdc.topics import BY_NAME
from atlaskit.clickhouse.watermark import Place, Watermark
from atlaskit.clock import Clock
from atlaskit.kafka.consumer import Extent, Partition

from atlas_olap_sink.advance import Progress
from atlas_olap_sink.audit import Shard
from atlas_olap_sink.auditing import Audit
from atlas_olap_sink.keeping import Kept, States, kept_of
from atlas_olap_sink.ledger import Basis, Ledger, place_before
from atlas_olap_sink.repairing import Repairs
from atlas_olap_sink.start import Known, basis_of, starting
from atlas_olap_sink.state import State, in_doubt


class Extents(Protocol):
    """What tells which offsets each partition holds."""

    async def extents(self) -> dict[Partition, Extent]: ...


class Vouching(Protocol):
    """What tells for which places ClickHouse vouches, and which it ever held."""

    async def watermarks(self, places: Sequence[Place]) -> Sequence[Watermark]: ...
    async def stored(self) -> frozenset[Place]: ...


class Adopting(Protocol):
    """What takes the incarnation of the running server as the one that claims are made under."""

    async def adopt(self) -> UUID: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Where everything begins."""

    audit: Audit
    progress: Mapping[Partition, Progress]
    kept: Mapping[Partition, Kept]
    incarnation: UUID


class Beginning:
    """Finds where partitions begin."""

    def __init__(
        self,
        source: Extents,
        states: States,
        store: Vouching,
        repairs: Repairs,
        *,
        clock: Clock,
        partitions: Sequence[Partition],
    ) -> None:
        self._source, self._states, self._store, self._repairs = source, states, store, repairs
        self._clock, self._partitions = clock, partitions
        self._ledger = next(at for at in partitions if at.topic == "atlas.ingest_batches")

    async def find(self, publisher: Adopting) -> Found:
        """Return where each partition begins. Raises an AtlasError if a store is away; then ask again."""
        incarnation = await publisher.adopt()
        states, void = await self._states.load()
        known = await self._known(states)
        basis = basis_of(known.values(), known[self._ledger].extent)
        told = basis is None
        if basis is None:
            basis = await self._told(known[self._ledger].extent)
        # What was done and not taken belongs to a server that may have lost it.
        self._repairs.forget()
        audit = _audit(known, basis, void, told=told)
        progress = {at: starting(one, told=told) for at, one in known.items()}
        progress[self._ledger] = Progress(basis.offset, basis.offset)
        now = int(self._clock.wall().timestamp())
        kept = {
            at: kept_of(one.usable, proven=one.proven, incarnation=incarnation, now=now) for at, one in known.items()
        }
        return Found(audit, progress, kept, incarnation)

    async def _known(self, states: Mapping[Partition, State]) -> dict[Partition, Known]:
        places = {at: (BY_NAME[at.topic].table, at.number) for at in self._partitions}
        marks, stored = await self._store.watermarks(sorted(places.values())), await self._store.stored()
        proven = {(mark.table, mark.shard) for mark in marks}
        extents = await self._source.extents()
        return {
            at: Known(states.get(at), extents[at], proven=place in proven, stored=place in stored)
            for at, place in places.items()
        }

    async def _told(self, ledger: Extent) -> Basis:
        writers = dict(await self._repairs.last_sequences())
        return Basis(offset=ledger.begin, writers=writers, assumed=dict(writers))


def _audit(known: Mapping[Partition, Known], basis: Basis, void: Intervals, *, told: bool) -> Audit:
    shards: dict[Place, Shard] = {}
    for at, one in known.items():
        place, state = (BY_NAME[at.topic].table, at.number), one.usable
        counted = {} if state is None else state.seen
        proven = place_before(basis.offset if state is None or told else state.ledger.offset)
        shards[place] = Shard(place, proven, counted, void)
        if state is not None and not one.proven:
            shards[place].owe(repair.key for repair in in_doubt(state.repairs, state.at) if repair.key is not None)
    return Audit(Ledger(basis), shards, void)
