"""Times in buckets that grow by two percent, so that a run of any length takes the same memory."""

from __future__ import annotations

import math
from collections.abc import Iterable

_LEAST = 1e-6  # seconds
_GROWTH = math.log(1.02)
_BUCKETS = 1_000  # the last one begins at six minutes


class Latencies:
    """A histogram of seconds. A percentile is the upper edge of its bucket: at most two percent too great."""

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self._counts = list(counts) or [0] * _BUCKETS
        self._greatest = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        place = int(math.log(max(seconds, _LEAST) / _LEAST) / _GROWTH)
        self._counts[min(place, _BUCKETS - 1)] += 1
        self._greatest = max(self._greatest, seconds)

    def __len__(self) -> int:
        return sum(self._counts)

    def percentile(self, percent: float) -> float:
        """Return the seconds that this part of all took at most; NaN when there are none."""
        wanted = math.ceil(len(self) * percent / 100)
        if not wanted:
            return math.nan
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(_LEAST * math.exp(_GROWTH * (place + 1)), self._greatest)
        raise AssertionError

    @property
    def greatest(self) -> float:
        """The greatest that was counted, in seconds."""
        return self._greatest
