"""The audit of all partitions of a process: what a batch says, what it proves, and what has to be repaired. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

import structlog
from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.cdc.intervals import Intervals
from atlaskit.cdc.topics import LEDGER
from atlaskit.clickhouse.watermark import Place
from atlaskit.postgres.repair import APPEND_ONLY

from atlas_olap_sink.audit import MAX_FLAWS, Flaw, Shard, told
from atlas_olap_sink.decoding import Batch, LedgerEvent, versions_by_segment, without
from atlas_olap_sink.ledger import EPOCH_SHIFT, Basis, Entered, Ledger
from atlas_olap_sink.orders import (
    FillLedger,
    Identified,
    Identify,
    Order,
    Reconcile,
    Reread,
    Resnapshot,
    Sweep,
    Swept,
)

log = structlog.get_logger(__name__)
MAX_TOLD = 10_000  # flaws that are remembered as told


@dataclass(slots=True)
class Audit:
    """The ledger and the shards that are balanced with it."""

    ledger: Ledger
    shards: Mapping[Place, Shard]
    void: Intervals = field(default_factory=Intervals)  # transactions that a failover lost; the shards share it
    doomed: dict[int, bool] = field(default_factory=dict)  # whose rows are about to go; True: the primary has none
    _told: dict[object, None] = field(default_factory=dict)

    def take(self, batch: Batch) -> None:
        """Take a batch whose rows ClickHouse has acknowledged."""
        self._take_ledger(batch)
        for segment, versions in versions_by_segment(batch):
            shard = self.shards[segment.topic.table, segment.partition]
            shard.count(self.ledger, versions, segment.offsets)
        for segment in batch.segments:
            self.shards[segment.topic.table, segment.partition].arrive(segment.beats)

    def prove(self) -> list[Order]:
        """Prove what can be proven, and return what has to be repaired; each flaw is told once as an alarm."""
        orders: list[Order] = list(self._ledger_orders())
        for shard in self.shards.values():
            flaws = shard.prove(self.ledger)
            shard.unbalanced = bool(flaws)
            self._alarm(flaws)
            orders += _orders_for(shard.place, flaws)
            orders += [Reread(shard.place, key) for key in sorted(shard.owed)]
        return orders

    def entered(self, entered: Entered | None) -> None:
        """Have the shards expect what a row of the ledger counts."""
        if entered is not None:
            for entry in entered.row.entries:
                shard = self.shards.get((entry.table, entry.shard))
                if shard is not None:
                    shard.expect(entered)

    def identified(self, done: Identified) -> None:
        """Take what the primary said of transactions that the ledger's topic did not announce."""
        shard = self.shards[done.place]
        for row in done.committed:
            if shard.covers(row):
                shard.settle(row.key)
            else:
                shard.excuse(row.key)

    def swept(self, done: Swept) -> None:
        """Take note that the rows of transactions are gone; those of one that was committed are read again."""
        for key in done.keys:
            phantom = self.doomed.pop(key, False)
            if phantom:
                self.void.add(key)
            for shard in self.shards.values():
                shard.forget(key, expected=not phantom)

    def doom(self, keys: Iterable[int], *, phantoms: bool) -> None:
        """Store no row of these transactions until they were swept; afterwards those of phantoms neither."""
        self.doomed.update(dict.fromkeys(keys, phantoms))

    def stored(self, batch: Batch) -> Batch:
        """Return the batch without the rows that must not be stored."""
        return without(batch, lambda key: key in self.void or key in self.doomed) if self.void or self.doomed else batch

    def least_proven(self) -> int:
        """Return the place in the ledger that every shard has proven."""
        return min((shard.proven for shard in self.shards.values()), default=0)

    def bases(self) -> dict[int, Basis]:
        """Return the ledger up to each place that some shard has proven, by place."""
        return {place: self.ledger.basis_at(place) for place in {shard.proven for shard in self.shards.values()}}

    @property
    def unbalanced_bytes(self) -> int:
        """Return about how much memory the rows take whose transactions are not closed."""
        return sum(shard.unbalanced_bytes for shard in self.shards.values())

    def _take_ledger(self, batch: Batch) -> None:
        beats = [beat for segment in batch.segments if segment.topic == LEDGER for beat in segment.beats]
        records: list[LedgerEvent | ArrivedBeat] = [*batch.ledger, *beats]
        # In their order: what a beat demands has to have come before it.
        for record in sorted(records, key=attrgetter("offset")):
            if isinstance(record, ArrivedBeat):
                self.ledger.beat(record)
            else:
                self.entered(self.ledger.take(record.row, record.offset))

    def _ledger_orders(self) -> Iterable[Order]:
        missing = sorted(self.ledger.missing())
        for writer, batches in groupby(missing, attrgetter("writer")):
            sequences = [batch.sequence for batch in batches]
            self._tell(("ledger", writer, sequences[0]), writer=writer, first=sequences[0], last=sequences[-1])
            yield FillLedger(writer, sequences[0], sequences[-1])
        if self.ledger.contradiction:
            self._tell(self.ledger.contradiction, contradiction=self.ledger.contradiction)
        if self.ledger.turn is not None:
            self._tell(("turn", self.ledger.turn), new_epoch=self.ledger.turn)
            yield Reconcile(self.ledger.turn, tuple(self._doubtful(self.ledger.turn)))

    def _doubtful(self, epoch: int) -> Iterable[tuple[int, int]]:
        known = self.ledger.basis.entered.copy()
        for entered in self.ledger.rows():
            known.add(entered.row.key)
        for shard in self.shards.values():
            for key in shard.opened():
                known.add(key)
        last = (epoch << EPOCH_SHIFT) - 1
        return [(first, min(end, last)) for first, end in known.runs() if first <= last]

    def _alarm(self, flaws: Iterable[Flaw]) -> None:
        for flaw, named in zip(flaws, told(tuple(flaws)), strict=True):
            self._tell((flaw.place, flaw.key), **named)

    def _tell(self, what: object, **named: object) -> None:
        if what not in self._told:
            self._told[what] = None
            log.error("the ledger does not balance: nothing new is claimed until it is repaired", **named)
            if len(self._told) > MAX_TOLD:
                del self._told[next(iter(self._told))]


def _orders_for(place: Place, flaws: tuple[Flaw, ...]) -> Iterable[Order]:
    if not flaws:
        return
    strangers = tuple(flaw.key for flaw in flaws if flaw.expected is None)
    surplus = tuple(flaw.key for flaw in flaws if flaw.expected is not None and not flaw.deficit)
    deficits = [flaw for flaw in flaws if flaw.deficit]
    if strangers:
        yield Identify(place, strangers)
    if surplus:
        yield Sweep(surplus)
    if len(flaws) >= MAX_FLAWS or (deficits and place[0] not in APPEND_ONLY):
        yield Resnapshot(place)
        return
    yield from (Reread(place, flaw.key, flaw.expected) for flaw in deficits)
