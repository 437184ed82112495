"""How many rows a second one tenant may send."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from typing import NamedTuple


class Allowance(NamedTuple):
    """Rows a second that a tenant may send, and rows it may send at once. A rate of 0 allows everything."""

    rows_per_second: float
    burst_rows: float


class TokenBuckets:
    """One bucket of tokens for each tenant, a token a row; full at first.

    A batch larger than the burst is let through by a full bucket, which then owes the rest. Remembers `tenants`
    buckets; the least recently used goes first, which is full by then unless so many tenants send at once.
    """

    def __init__(self, allowance: Allowance, tenants: int = 10_000) -> None:
        self._allowance = allowance
        self._tenants = tenants
        self._levels: OrderedDict[int, tuple[float, float]] = OrderedDict()  # tenant -> level, and the instant of it

    def take(self, tenant: int, rows: int, now: float) -> timedelta | None:
        """Take `rows` tokens and return None; or take none and return how long until they are there.

        `now` is seconds of a clock that does not step."""
        rate, burst = self._allowance
        if rate <= 0:
            return None
        level, then = self._levels.get(tenant, (burst, now))
        level = min(level + max(now - then, 0.0) * rate, burst)
        missing = min(rows, burst) - level
        self._levels[tenant] = (level if missing > 0 else level - rows, now)
        self._levels.move_to_end(tenant)
        if len(self._levels) > self._tenants:
            self._levels.popitem(last=False)
        return timedelta(seconds=missing / rate) if missing > 0 else None
