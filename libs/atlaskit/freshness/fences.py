"""Fences and beats: instants tied to positions, and a bounded ring of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from atlaskit.clock import BootInstant
from atlaskit.position import Lsn


@dataclass(frozen=True, slots=True)
class Fence:
    """Every commit acknowledged before `instant` ends at or below `lsn`."""

    instant: BootInstant
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class Beat:
    """A marker that queues behind the rows. Every commit acknowledged before `instant` precedes beat `number`.

    `lsn` is the flush position read after `instant` and before the beat was committed.
    """

    number: int
    instant: BootInstant
    lsn: Lsn


MarkerT = TypeVar("MarkerT", Fence, Beat)


class Ring(Generic[MarkerT]):
    """The newest markers of one timeline, in order of instant and of position; at most `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._markers: deque[MarkerT] = deque(maxlen=capacity)

    def add(self, marker: MarkerT) -> None:
        """Keep the marker as the newest. Raises ValueError if its instant or position is below the newest one's."""
        if self._markers and (marker.instant < self.newest.instant or marker.lsn < self.newest.lsn):
            raise ValueError(f"{marker} is behind {self.newest}")
        self._markers.append(marker)

    @property
    def newest(self) -> MarkerT:
        """Return the newest marker. Raises IndexError when there is none."""
        return self._markers[-1]

    def clear(self) -> None:
        """Forget all markers."""
        self._markers.clear()

    def __len__(self) -> int:
        return len(self._markers)

    def __iter__(self) -> Iterator[MarkerT]:
        """Give the markers, oldest first."""
        return iter(self._markers)

    def newest_first(self, limit: int) -> tuple[MarkerT, ...]:
        """Return at most `limit` markers, newest first: the newest quarter, then ever wider steps to the oldest."""
        return thinned(tuple(reversed(self._markers)), limit)


def thinned(newest_first: tuple[MarkerT, ...], limit: int) -> tuple[MarkerT, ...]:
    """Return at most `limit` of the markers, in order: dense where they are new, sparse where they are old.

    Leaving one out only makes a proof that would have used it older, never false. The newest and the oldest stay.
    """
    if len(newest_first) <= limit:
        return newest_first
    dense = limit // 4
    spread, last = limit - dense, len(newest_first) - 1
    growth = (last / dense) ** (1 / (spread - 1)) if dense else float(last) ** (1 / (spread - 1))
    picked = dict.fromkeys(range(dense))
    picked.update(dict.fromkeys(min(last, round(max(dense, 1) * growth**step)) for step in range(spread)))
    return tuple(newest_first[index] for index in sorted(picked))


def newest_covered(fences_newest_first: Sequence[Fence], replayed: Lsn) -> Fence | None:
    """Return the newest fence at or below the replayed position, or None: then nothing is proven.

    >>> newest_covered((), Lsn(7)) is None
    True
    """
    # Positions fall along the tuple; negated they rise, as bisect wants.
    at = bisect_right(fences_newest_first, -replayed.bytes - 1, key=lambda fence: -fence.lsn.bytes)
    return fences_newest_first[at] if at < len(fences_newest_first) else None


def newest_proven(beats_newest_first: Sequence[Beat], proven: int) -> Beat | None:
    """Return the newest known beat whose number is at most `proven`, or None. A proven beat proves all before it."""
    return next((beat for beat in beats_newest_first if beat.number <= proven), None)
