"""The audit of one table and shard against the ledger: which beats are proven, and what does not balance. Pure.

Beat n is proven once it has arrived, every row before it is acknowledged, the ledger before it is whole, the rows of
each of its transactions were seen exactly as the ledger counts them, and no row before it is of another transaction.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

import numpy as np
from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.cdc.fields import Int64s
from atlaskit.cdc.intervals import Intervals
from atlaskit.cdc.ledger import LedgerRow
from atlaskit.clickhouse.watermark import Place
from atlaskit.model import ROW_INDEX_BITS

from atlas_olap_sink.ledger import Entered, Ledger, Mark
from atlas_olap_sink.seen import Seen

# Monitors whose greatest beat is remembered; the one heard of longest ago is forgotten first.
MAX_MONITORS = 8
MAX_PENDING = 1_000  # beats that wait for a proof; beyond it the oldest are passed over, and later ones prove the same
MAX_FLAWS = 100  # flaws of one shard that are told, and repaired, at a time
_INDEX_MASK = (1 << ROW_INDEX_BITS) - 1


class Expected(NamedTuple):
    """What the ledger counts of one transaction in this table and shard; ordered by place."""

    place: int
    key: int
    writer: int
    sequence: int
    rows: int
    version_sum: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """One transaction that does not balance. `expected` None: the ledger does not know it, so its rows are too many."""

    place: Place
    key: int
    seen_rows: int
    expected: Expected | None = None

    @property
    def deficit(self) -> bool:
        """Return whether rows are missing, and none are too many as far as can be told."""
        return self.expected is not None and self.seen_rows <= self.expected.rows


class Shard:
    """The state of one table and shard, from a proven place in the ledger on."""

    def __init__(
        self, place: Place, proven: int = 0, counted: Mapping[UUID, int] | None = None, void: Intervals | None = None
    ) -> None:
        self.place = place
        self.proven = proven  # place in the ledger: what stands before it is balanced here
        self.counted = dict(counted or {})  # greatest beat of each monitor before `beat_end`
        self._seen = dict(self.counted)  # greatest beat that arrived
        self.standing: dict[UUID, ArrivedBeat] = {}  # newest proven beat of each
        self.unbalanced = False  # flaws stand in the way of the next beat
        self.beat_end: int | None = None  # offset after the newest proven beat: what may be committed
        self.void = (
            Intervals() if void is None else void
        )  # transactions that a failover lost: their rows are never stored
        self._pending: deque[ArrivedBeat] = deque()
        self._expected: list[Expected] = []
        self._open: dict[int, Seen] = {}
        self._settled: set[int] = set()  # repaired from PostgreSQL and not yet behind `proven`
        self._covered: dict[int, int] = {}  # last sequence of each writer that a snapshot holds
        self._excused: set[int] = set()  # committed, as the primary says, though the ledger's topic has not told
        self._owed: set[int] = set()  # repaired before the server was restarted, so perhaps not there any more

    @property
    def indebted(self) -> bool:
        """Return whether repairs of before have to be made again."""
        return bool(self._owed)

    @property
    def owed(self) -> frozenset[int]:
        """Return the transactions whose rows have to be read from PostgreSQL again."""
        return frozenset(self._owed)

    @property
    def unbalanced_bytes(self) -> int:
        """Return about how much memory the rows take whose transactions are not closed."""
        return sum(seen.size_bytes for seen in self._open.values())

    def expect(self, entered: Entered) -> None:
        """Take the entries of a ledger row that concern this table and shard."""
        row = entered.row
        if entered.place < self.proven or self.covers(row) or row.key in self.void:
            return
        table, shard = self.place
        for entry in row.entries:
            if entry.table == table and entry.shard == shard:
                found = Expected(entered.place, row.key, row.writer, row.sequence, entry.rows, entry.version_sum)
                insort(self._expected, found)

    def count(self, ledger: Ledger, versions: Int64s, offsets: tuple[int, ...]) -> None:
        """Count rows that ClickHouse acknowledged, in the order of their partition; the two columns are parallel."""
        if not len(versions):
            return
        keys = versions >> ROW_INDEX_BITS
        bounds = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), len(keys)]
        for first, last in pairwise(bounds):
            key = int(keys[first])
            if self._closed(ledger, key):
                continue
            seen = self._open.get(key)
            if seen is None:
                seen = self._open[key] = Seen(offsets[first])
            seen.add(key, versions[first:last] & _INDEX_MASK)

    def arrive(self, beats: Iterable[ArrivedBeat]) -> None:
        """Take beats of the partition, in their order. Only the first occurrence of one counts."""
        for beat in beats:
            if beat.number > self._seen.get(beat.monitor, 0):
                _remember(self._seen, beat)
                self._pending.append(beat)
        while len(self._pending) > MAX_PENDING:
            _remember(self.counted, self._pending.popleft())

    def prove(self, ledger: Ledger) -> tuple[Flaw, ...]:
        """Prove what beats can be proven now; return what stands in the way of the next one, if anything but time."""
        while self._pending:
            beat = self._pending[0]
            mark = ledger.mark(beat)
            if mark is None:
                if not self._passed(ledger, beat):
                    return ()
            elif not ledger.whole_before(mark.place):
                return ()
            elif flaws := tuple(self._flaws(ledger, beat, mark)):
                return flaws[:MAX_FLAWS]
            else:
                self._prove(ledger, beat, mark)
            _remember(self.counted, self._pending.popleft())
        return ()

    def settle(self, key: int) -> None:
        """Close a transaction whose rows were read from PostgreSQL and are acknowledged."""
        self._expected = [one for one in self._expected if one.key != key]
        self._open.pop(key, None)
        self._settled.add(key)
        self._owed.discard(key)

    def owe(self, keys: Iterable[int]) -> None:
        """Demand that the rows of these transactions are read from PostgreSQL again before the next claim."""
        self._owed.update(keys)

    def excuse(self, key: int) -> None:
        """Take note that the primary knows a transaction whose rows came before its row of the ledger."""
        self._excused.add(key)

    def withdraw(self) -> None:
        """Claim no beat that is proven now: rows are about to be deleted."""
        self.standing.clear()

    def cover(self, writers: dict[int, int]) -> None:
        """Close everything up to these sequences: a snapshot of the table and shard that holds it is acknowledged."""
        self._covered = {writer: max(last, self._covered.get(writer, 0)) for writer, last in writers.items()}
        covered = {one.key for one in self._expected if one.sequence <= self._covered.get(one.writer, 0)}
        self._expected = [one for one in self._expected if one.key not in covered]
        self._owed.clear()

    def forget(self, key: int, *, expected: bool) -> None:
        """Forget the rows of a transaction, since they were deleted; if `expected` they have to come again."""
        self._open.pop(key, None)
        if not expected:
            self._expected = [one for one in self._expected if one.key != key]

    def covers(self, row: LedgerRow) -> bool:
        """Return whether a snapshot holds this transaction."""
        return row.sequence <= self._covered.get(row.writer, 0)

    def opened(self) -> frozenset[int]:
        """Return the transactions of which rows were seen and that are not closed."""
        return frozenset(self._open)

    def _passed(self, ledger: Ledger, beat: ArrivedBeat) -> bool:
        """Tell whether the ledger will not tell this beat any more: it is behind it, or behind one that came later."""
        return ledger.passed(beat) or any(ledger.mark(later) for later in self._pending)

    def _closed(self, ledger: Ledger, key: int) -> bool:
        if key in self._settled or key in self.void:
            return True
        at = ledger.place(key)
        return at is not None and at < self.proven

    def _flaws(self, ledger: Ledger, beat: ArrivedBeat, mark: Mark) -> Iterator[Flaw]:
        expected = set()
        for one in self._expected:
            if one.place >= mark.place:
                break
            expected.add(one.key)
            seen = self._open.get(one.key)
            if seen is None or not seen.matches(one.rows, one.version_sum):
                yield Flaw(self.place, one.key, seen.rows if seen else 0, one)
        for key, seen in self._open.items():
            if seen.first_offset >= beat.offset:
                break
            if key not in expected and not self._accounted(ledger, key, mark):
                yield Flaw(self.place, key, seen.rows)

    def _accounted(self, ledger: Ledger, key: int, mark: Mark) -> bool:
        """Tell whether rows need no entry: closed (known only now, if they came first), excused, or in a snapshot."""
        if key in self._excused or self._closed(ledger, key):
            return True
        rows = (entered for entered in ledger.rows() if entered.row.key == key and entered.place < mark.place)
        return bool(self._covered) and any(self.covers(entered.row) for entered in rows)

    def _prove(self, ledger: Ledger, beat: ArrivedBeat, mark: Mark) -> None:
        self.standing[beat.monitor] = beat
        self.beat_end = beat.offset + 1
        self.proven = max(self.proven, mark.place)
        self._expected = [one for one in self._expected if one.place >= mark.place]
        self._open = {key: seen for key, seen in self._open.items() if not self._closed(ledger, key)}
        self._settled = {key for key in self._settled if (at := ledger.place(key)) is None or at >= self.proven}
        self._excused.intersection_update(self._open)
        for forgotten in self.standing.keys() - self._seen.keys():
            del self.standing[forgotten]


def _remember(numbers: dict[UUID, int], beat: ArrivedBeat) -> None:
    numbers.pop(beat.monitor, None)
    numbers[beat.monitor] = beat.number
    for forgotten in list(numbers)[:-MAX_MONITORS]:
        del numbers[forgotten]


def told(flaws: Collection[Flaw]) -> list[dict[str, object]]:
    """Return the flaws as an alarm names them: writer, sequence, table, shard, and rows seen of rows expected."""
    return [
        {
            "table": flaw.place[0],
            "shard": flaw.place[1],
            "writer": flaw.expected.writer if flaw.expected else None,
            "sequence": flaw.expected.sequence if flaw.expected else None,
            "transaction": flaw.key & ((1 << 38) - 1),
            "rows_expected": flaw.expected.rows if flaw.expected else 0,
            "rows_seen": flaw.seen_rows,
        }
        for flaw in flaws
    ]
