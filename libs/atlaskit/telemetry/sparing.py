"""Lines of a log that would come too often."""

from __future__ import annotations

from collections import Counter

KINDS = 1_000  # kinds of lines that are told apart; more begin anew


class Sparing:
    """Lets the first `per_second` lines of each kind pass in a second; the next that passes says how many did not."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._began: dict[str, float] = {}
        self._passed: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def take(self, kind: str, now: float) -> int | None:
        """Return how many lines of this kind were left out before this one, or None if this is left out too.

        `now` is seconds of a clock that does not step."""
        if now - self._began.get(kind, float("-inf")) >= 1.0:
            if len(self._began) >= KINDS:
                self._began.clear()
                self._passed.clear()
                self._left_out.clear()
            self._began[kind] = now
            self._passed[kind] = 0
        if self._passed[kind] >= self._per_second:
            self._left_out[kind] += 1
            return None
        self._passed[kind] += 1
        return self._left_out.pop(kind, 0)
