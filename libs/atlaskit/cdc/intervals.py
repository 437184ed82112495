"""Sets of integers that are mostly runs: the transactions that a copy is done with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

# Runs that one set may hold; what would be more is joined where it is oldest.
MAX_RUNS = 2_000


class Intervals:
    """A set of integers, kept as runs without a gap. Membership and addition cost a search among the runs.

    Beyond `most` runs the two least ones become one, gap included: such a set then holds numbers that were never added.
    Use it only where a number too many costs work, never truth.
    """

    __slots__ = ("_ends", "_most", "_starts")

    def __init__(self, runs: Iterable[tuple[int, int]] = (), most: int = MAX_RUNS) -> None:
        """Take runs as (first, last), ascending and without overlap."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._most = most
        for first, last in runs:
            self._starts.append(first)
            self._ends.append(last)

    def add(self, number: int) -> None:
        """Add one number."""
        at = bisect_right(self._starts, number)
        if at and number <= self._ends[at - 1]:
            return
        joins_left = at > 0 and self._ends[at - 1] == number - 1
        joins_right = at < len(self._starts) and self._starts[at] == number + 1
        if joins_left and joins_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif joins_left:
            self._ends[at - 1] = number
        elif joins_right:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number)
            self._bound()

    def add_run(self, first: int, last: int) -> None:
        """Add the numbers from `first` to `last`."""
        runs = sorted([*self.runs(), (first, last)])
        self._starts, self._ends = [], []
        for low, high in runs:
            if self._ends and low <= self._ends[-1] + 1:
                self._ends[-1] = max(self._ends[-1], high)
            else:
                self._starts.append(low)
                self._ends.append(high)
        self._bound()

    def _bound(self) -> None:
        if len(self._starts) > self._most:
            del self._starts[1]
            del self._ends[0]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number)
        return at > 0 and number <= self._ends[at - 1]

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self.runs() == other.runs()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def runs(self) -> list[tuple[int, int]]:
        """Return the runs as (first, last), ascending."""
        return list(zip(self._starts, self._ends, strict=True))

    def copy(self) -> Intervals:
        """Return a set of its own with the same numbers."""
        return Intervals(self.runs(), self._most)

    def encoded(self) -> list[int]:
        """Return the runs as differences: first, length, gap, length, gap and so on; short where numbers are near."""
        flat: list[int] = []
        behind = 0
        for first, last in zip(self._starts, self._ends, strict=True):
            flat += (first - behind, last - first)
            behind = last
        return flat

    @classmethod
    def decoded(cls, flat: Iterable[int]) -> Intervals:
        """Return the set that was encoded so. Raises ValueError for anything else."""
        numbers = list(flat)
        if len(numbers) % 2 or any(number < 0 for number in numbers):
            raise ValueError("not runs of integers")
        runs: list[tuple[int, int]] = []
        behind = 0
        for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
            runs.append((behind + gap, behind + gap + length))
            behind += gap + length
        return cls(runs)
