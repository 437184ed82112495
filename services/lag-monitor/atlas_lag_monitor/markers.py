"""Markers kept for a day in little room: all of the last seconds, one a second before, one a minute before that."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic

from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import MarkerT, Ring, thinned

# Least time between two markers of a tier, and how many it keeps.
TIERS = ((timedelta(0), 512), (timedelta(seconds=1), 600), (timedelta(minutes=1), 1440))


class Memory(Generic[MarkerT]):
    """Markers of one timeline. Those that are left out make a proof older, never false."""

    def __init__(self) -> None:
        self._tiers: list[tuple[timedelta, Ring[MarkerT]]] = [(spacing, Ring(most)) for spacing, most in TIERS]
        self._all: tuple[MarkerT, ...] | None = ()
        self._thinned: dict[int, tuple[MarkerT, ...]] = {}

    def add(self, marker: MarkerT) -> None:
        """Keep the marker. Raises ValueError if its instant or position is below the newest one's."""
        for spacing, ring in self._tiers:
            if len(ring) == 0 or ring.newest.instant.age_at(marker.instant) >= spacing:
                ring.add(marker)
        self._all = None
        self._thinned.clear()

    def clear(self) -> None:
        """Forget all markers."""
        for _, ring in self._tiers:
            ring.clear()
        self._all = ()
        self._thinned.clear()

    def newest_first(self) -> tuple[MarkerT, ...]:
        """Return all markers, newest first."""
        if self._all is None:
            self._all = tuple(self._merged())
        return self._all

    def up_to(self, instant: BootInstant | None, limit: int) -> tuple[MarkerT, ...]:
        """Return at most `limit` markers, newest first, dense where they are new; with an instant, none after it."""
        if instant is not None:
            return thinned(tuple(marker for marker in self.newest_first() if marker.instant <= instant), limit)
        if limit not in self._thinned:
            self._thinned[limit] = thinned(self.newest_first(), limit)
        return self._thinned[limit]

    def _merged(self) -> list[MarkerT]:
        merged: list[MarkerT] = []
        for _, ring in self._tiers:
            older_than = merged[-1].instant if merged else None
            newest_first = reversed(tuple(ring))
            merged += [marker for marker in newest_first if older_than is None or marker.instant < older_than]
        return merged
