"""What the ledger's topic has said: which transactions were committed, in which order, and what is missing. Pure.

A transaction stands where its row came first; the transactions committed before a beat are those that stand before the
place where the beat came first. The record at an offset of the ledger's one partition has place 2 * offset + 1, so that
what is found missing there later can stand just before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.cdc.intervals import Intervals
from atlaskit.cdc.ledger import LedgerRow
from atlaskit.model import ROW_INDEX_BITS

MAX_MISSING = 100_000  # batches that are missing at a time; beyond it only a snapshot helps
EPOCH_SHIFT = 55 - ROW_INDEX_BITS  # of a transaction's key
MAX_MARKS = 20_000  # beats since the basis; beyond it the oldest are forgotten, and what waits for them asks later ones


def place_at(offset: int) -> int:
    """Return the place of the record at this offset."""
    return 2 * offset + 1


def place_before(offset: int) -> int:
    """Return the place between the record at this offset and the one before it."""
    return 2 * offset


class Batch(NamedTuple):
    """One transaction of a writer: its number in the writer's series."""

    writer: int
    sequence: int


@dataclass(slots=True)
class Basis:
    """The ledger up to an offset: last sequence of each writer, transactions entered, greatest beat of each monitor.

    `epoch` is that of the newest beat, 0 before anything. `assumed` are sequences that PostgreSQL told, since Kafka had
    their rows no more: whatever they wrote came with snapshots.
    """

    offset: int = 0
    writers: dict[int, int] = field(default_factory=dict)
    entered: Intervals = field(default_factory=Intervals)
    beats: dict[UUID, int] = field(default_factory=dict)
    epoch: int = 0
    assumed: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Basis:
        """Return one of its own."""
        known = self.entered.copy()
        return Basis(self.offset, dict(self.writers), known, dict(self.beats), self.epoch, dict(self.assumed))


class Entered(NamedTuple):
    """A row of the ledger and the place where it stands."""

    place: int
    row: LedgerRow


class Mark(NamedTuple):
    """A beat in the ledger: where it came first."""

    place: int
    beat: ArrivedBeat


class _Turn(NamedTuple):
    """The place of the first beat of a new epoch, which proves nothing before the copy was reconciled."""

    place: int
    epoch: int


class Ledger:
    """Everything since a basis. Rows and beats are taken in the order of the topic; what comes again is known."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis.copy()
        self._writers = dict(basis.writers)
        self._beats = dict(basis.beats)
        self._epoch = basis.epoch
        self._rows: deque[Entered] = deque()
        self._places: dict[int, int] = {}  # of the transactions since the basis, by key
        self._marks: dict[tuple[UUID, int], Mark] = {}
        self._missing: dict[Batch, int] = {}  # with the place before which it must stand
        self._turn: _Turn | None = None
        self.contradiction: str | None = None  # why nothing more can be proven, whatever is repaired

    @property
    def basis(self) -> Basis:
        """Return what everything here builds on."""
        return self._basis

    @property
    def epoch(self) -> int:
        """Return the epoch that the copy is reconciled with."""
        return self._epoch

    @property
    def turn(self) -> int | None:
        """Return the new epoch that the copy has yet to be reconciled with, or None."""
        return self._turn.epoch if self._turn else None

    @property
    def writers(self) -> Mapping[int, int]:
        """Return the last sequence of each writer that was heard of, missing ones included."""
        return self._writers

    def take(self, row: LedgerRow, offset: int) -> Entered | None:
        """Take a row that came at this offset; return it with its place, or None if it was known."""
        self._epoch = self._epoch or row.key >> EPOCH_SHIFT
        batch, last = Batch(row.writer, row.sequence), self._writers.get(row.writer, 0)
        if batch in self._missing:
            return self.fill(row)
        if row.sequence <= last:
            return self._known(row, offset)
        self._miss(row.writer, last + 1, row.sequence - 1, offset)
        self._writers[row.writer] = row.sequence
        return self._enter(row, place_at(offset))

    def fill(self, row: LedgerRow) -> Entered | None:
        """Take a missing row that came late or was read from PostgreSQL; None if it is not missing."""
        before = self._missing.pop(Batch(row.writer, row.sequence), None)
        return None if before is None else self._enter(row, before)

    def beat(self, beat: ArrivedBeat) -> None:
        """Take a beat of the ledger's topic, with its vector. Only its first occurrence counts."""
        if beat.number <= self._beats.get(beat.monitor, 0):
            return
        self._beats[beat.monitor] = beat.number
        for writer, sequence in beat.vector.items():
            last = self._writers.get(writer, 0)
            if sequence > last:
                self._miss(writer, last + 1, sequence, beat.offset)
                self._writers[writer] = sequence
        if beat.epoch > self._epoch:
            if self._epoch and self._turn is None:
                self._turn = _Turn(place_at(beat.offset), beat.epoch)
            elif not self._epoch:
                self._epoch = beat.epoch
        self._marks[beat.monitor, beat.number] = Mark(place_at(beat.offset), beat)
        if len(self._marks) > MAX_MARKS:
            del self._marks[next(iter(self._marks))]

    def mark(self, beat: ArrivedBeat) -> Mark | None:
        """Return where this beat of another topic came first in the ledger's, or None if it has not come (yet)."""
        return self._marks.get((beat.monitor, beat.number))

    def passed(self, beat: ArrivedBeat) -> bool:
        """Return whether the ledger has heard this beat of its monitor or a later one."""
        return beat.number <= self._beats.get(beat.monitor, 0)

    def whole_before(self, place: int) -> bool:
        """Return whether nothing that was committed before this place is missing or in doubt."""
        if self.contradiction or (self._turn and self._turn.place <= place):
            return False
        return all(before > place for before in self._missing.values())

    def missing(self) -> dict[Batch, int]:
        """Return the batches that are known to be missing, each with the place before which it must stand."""
        return dict(self._missing)

    def place(self, key: int) -> int | None:
        """Return where this transaction stands (0: before the basis), or None if no row of the ledger named it."""
        found = self._places.get(key)
        return 0 if found is None and key in self._basis.entered else found

    def rows(self) -> Iterator[Entered]:
        """Yield the rows since the basis."""
        return iter(self._rows)

    def reconciled(self, epoch: int, writers: Mapping[int, int]) -> None:
        """Take note that the copy holds nothing any more that this epoch does not have.

        `writers` are its last sequences: what is missing beyond them was lost by the failover and never comes."""
        if self._turn and self._turn.epoch <= epoch:
            self._epoch, self._turn = epoch, None
            later = [mark for mark in self._marks.values() if mark.beat.epoch > epoch]
            if later:
                first = min(later, key=lambda mark: mark.place)
                self._turn = _Turn(first.place, first.beat.epoch)
        lost = [batch for batch in self._missing if batch.sequence > writers.get(batch.writer, 0)]
        for batch in lost:
            del self._missing[batch]

    def basis_at(self, place: int) -> Basis:
        """Return the ledger as it was up to this place, which must not lie before the basis."""
        basis = self._basis.copy()
        basis.offset = max(basis.offset, (place + 1) // 2)
        for entered in self._rows:
            if entered.place >= place:
                break
            row = entered.row
            basis.entered.add(row.key)
            basis.epoch = max(basis.epoch, row.key >> EPOCH_SHIFT)
            basis.writers[row.writer] = max(basis.writers.get(row.writer, 0), row.sequence)
        for mark in self._marks.values():
            if mark.place <= place:
                basis.beats[mark.beat.monitor] = max(basis.beats.get(mark.beat.monitor, 0), mark.beat.number)
                basis.epoch = max(basis.epoch, mark.beat.epoch)
        return basis

    def forget_before(self, place: int) -> None:
        """Move the basis to this place: nobody will ask what came before it."""
        if place <= place_before(self._basis.offset):
            return
        self._basis = self.basis_at(place)
        while self._rows and self._rows[0].place < place:
            self._places.pop(self._rows.popleft().row.key, None)
        self._marks = {name: mark for name, mark in self._marks.items() if mark.place > place}

    def _known(self, row: LedgerRow, offset: int) -> Entered | None:
        if self.place(row.key) is not None:
            return None
        if row.sequence <= self._basis.assumed.get(row.writer, 0):
            return self._enter(row, place_at(offset))
        self.contradiction = f"writer {row.writer} gave sequence {row.sequence} to two transactions"
        return None

    def _enter(self, row: LedgerRow, place: int) -> Entered:
        entered = Entered(place, row)
        self._places[row.key] = place
        if self._rows and self._rows[-1].place > place:
            self._rows = deque(sorted((*self._rows, entered), key=lambda one: one.place))
        else:
            self._rows.append(entered)
        return entered

    def _miss(self, writer: int, first: int, last: int, offset: int) -> None:
        if len(self._missing) + last - first >= MAX_MISSING:
            self.contradiction = (
                f"more than {MAX_MISSING} batches are missing, of writer {writer} from {first} to {last}"
            )
            return
        self._missing.update((Batch(writer, sequence), place_before(offset)) for sequence in range(first, last + 1))
