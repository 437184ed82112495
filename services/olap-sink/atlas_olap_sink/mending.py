"""Between audit and repairs: what is ordered, and what its being done changes. Pure but for the orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from atlaskit.cdc.topics import LEDGER
from atlaskit.clickhouse.watermark import Place

from atlas_olap_sink.advance import Progress
from atlas_olap_sink.auditing import Audit
from atlas_olap_sink.decoding import Batch, transactions
from atlas_olap_sink.keeping import Keeper
from atlas_olap_sink.orders import (
    Covered,
    Done,
    Filled,
    Identified,
    Order,
    Reconciled,
    Resnapshot,
    Settled,
    Sweep,
    Swept,
)
from atlas_olap_sink.repairing import Repairs

MAX_ASKED = 10_000  # transactions that the primary is asked for at a time


@dataclass(frozen=True, slots=True)
class Step:
    """What the pipeline has to do: withdraw every watermark, and note that places owe no snapshot any more."""

    withdraws: bool
    covered: frozenset[Place]


class Mending:
    """Orders what the audit wants, and takes what was done. Rows are deleted only after every claim was withdrawn."""

    def __init__(self, repairs: Repairs, audit: Audit, keeper: Keeper) -> None:
        self._repairs, self._audit, self._keeper = repairs, audit, keeper
        self._sweeps: dict[Sweep, None] = {}  # that wait for the withdrawal
        self._sweeping: dict[Sweep, None] = {}
        self._turning: Reconciled | None = None
        self._covered: set[Place] = set()

    def demand(self, progress: Mapping[Place, Progress]) -> None:
        """Prove what can be proven, and order what stands in the way, and nothing else."""
        wanted: dict[Order, None] = dict.fromkeys(self._sweeping)
        for order in self._audit.prove():
            if isinstance(order, Sweep):
                self._sweep(order.keys, phantoms=False)
            else:
                wanted[order] = None
        for place, one in progress.items():
            if one.owes is not None and place[0] != LEDGER.table:
                wanted[Resnapshot(place)] = None
            elif one.owes is not None:
                self._covered.add(place)  # the ledger has no rows of its own in ClickHouse
        self._repairs.want(wanted)

    async def doubt(self, batch: Batch) -> Batch:
        """Return the batch without the rows of transactions that the primary does not have; they are never stored.

        Raises an AtlasError if the primary cannot be asked."""
        keys = sorted(transactions(batch))
        committed: set[int] = set()
        for first in range(0, len(keys), MAX_ASKED):
            committed.update(await self._repairs.committed(keys[first : first + MAX_ASKED]))
        self._sweep([key for key in keys if key not in committed], phantoms=True)
        return self._audit.stored(batch)

    def apply(self) -> Step:
        """Take what was done. Until `withdrawn` and `paid` are called the step is the same or more."""
        for done in self._repairs.taken():
            self._take(done)
        return Step(bool(self._sweeps), frozenset(self._covered))

    def withdrawn(self) -> None:
        """Take note that no watermark of before holds any more: now rows may be deleted."""
        self._sweeping.update(self._sweeps)
        self._sweeps.clear()

    def paid(self) -> None:
        """Take note that the places of the last step owe nothing any more."""
        self._covered.clear()

    def _take(self, done: Done) -> None:
        match done:
            case Filled():
                for row in done.rows:
                    self._audit.entered(self._audit.ledger.fill(row))
            case Settled():
                self._audit.shards[done.place].settle(done.key)
                self._keeper.repaired(done.place, done.key)
            case Covered():
                self._cover(done)
            case Identified():
                self._audit.identified(done)
                self._sweep(done.phantoms, phantoms=True)
            case Swept():
                self._swept(done)
            case Reconciled():
                self._turning = done
                self._sweep(done.phantoms, phantoms=True)
                self._turn()
            case _:
                assert_never(done)

    def _cover(self, done: Covered) -> None:
        self._audit.shards[done.place].cover(dict(done.writers))
        self._keeper.repaired(done.place, None)
        self._covered.add(done.place)

    def _sweep(self, keys: Iterable[int], *, phantoms: bool) -> None:
        fresh = tuple(key for key in keys if key not in self._audit.doomed and key not in self._audit.void)
        if fresh:
            self._audit.doom(fresh, phantoms=phantoms)
            for shard in self._audit.shards.values():
                shard.withdraw()
            self._sweeps[Sweep(fresh)] = None

    def _swept(self, done: Swept) -> None:
        self._sweeping.pop(Sweep(done.keys), None)
        self._audit.swept(done)
        self._turn()

    def _turn(self) -> None:
        """Begin the new epoch once everything is gone that it does not have."""
        if self._turning is not None and not self._sweeping and not self._sweeps:
            self._audit.ledger.reconciled(self._turning.epoch, self._turning.writers)
            self._turning = None
