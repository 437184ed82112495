"""How fast rows are being committed, and so how long a queue takes to drain."""

from __future__ import annotations

from datetime import timedelta

HALF_LIFE = 2.0  # seconds of work after which what was measured counts half
UNKNOWN = timedelta(seconds=1)  # what is said while nothing has been measured
LEAST = timedelta(milliseconds=50)
MOST = timedelta(seconds=5)


class DrainRate:
    """Rows a second of the time in which somebody was committing; idle time counts for nothing.

    Instants are seconds of one clock that does not step.
    """

    def __init__(self) -> None:
        self._rows = self._seconds = 0.0
        self._working = 0
        self._since = 0.0

    def began(self, now: float) -> None:
        """Note that one more commit runs."""
        self._elapse(now)
        self._working += 1

    def ended(self, now: float, rows: int) -> None:
        """Note that a commit ended with `rows` rows committed; 0 if it failed."""
        self._elapse(now)
        self._working -= 1
        self._rows += rows

    def rows_per_second(self) -> float | None:
        """Return the rate, None while it is not known."""
        return self._rows / self._seconds if self._rows > 0 and self._seconds > 0 else None

    def time_for(self, rows: int) -> timedelta:
        """Return how long `rows` rows take to drain, 50 ms to 5 s; 1 s while the rate is not known."""
        rate = self.rows_per_second()
        if rate is None:
            return UNKNOWN
        return max(timedelta(seconds=min(rows / rate, MOST.total_seconds())), LEAST)

    def _elapse(self, now: float) -> None:
        if self._working:
            elapsed = max(now - self._since, 0.0)
            kept = 0.5 ** (elapsed / HALF_LIFE)
            self._rows *= kept
            self._seconds = self._seconds * kept + elapsed
        self._since = now
