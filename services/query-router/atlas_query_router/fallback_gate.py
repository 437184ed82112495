"""The cap on reads that fall back onto the primary: how many at a time, how many a second, and for whom."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from atlaskit.freshness.requirement import UseCase

# What a use case may take of the cap. A dashboard may have all of it; the rest leave half of it to dashboards.
SHARES: Final[Mapping[UseCase, float]] = MappingProxyType({UseCase.DASHBOARD: 1.0})
OTHERS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """What may fall back: reads at a time, and reads a second. `rest` is how long half of it holds after a refusal."""

    at_a_time: int
    per_second: float
    rest: timedelta = timedelta(seconds=1)

    def share(self, part: float) -> Limits:
        """Return that part of it, at least one read at a time unless there is none."""
        return Limits(min(self.at_a_time, max(int(self.at_a_time * part), 1)), self.per_second * part, self.rest)


@dataclass(slots=True)
class Cap:
    """One cap: running reads and a bucket of them, full at first and as large as the reads at a time.

    After a refusal half of it holds until none was refused for `rest`: demand has to fall well below the cap before all
    of it is given again, so that load which sits at the cap does not swing between all and nothing.
    """

    limits: Limits
    running: int = 0
    level: float = field(init=False)
    filled: float = 0.0
    protected_until: float = 0.0

    def __post_init__(self) -> None:
        self.level = float(self.limits.at_a_time)

    def full(self, now: float) -> bool:
        """Tell whether one more read must be refused at this instant of monotonic seconds."""
        self.level = self._level(now)
        self.filled = now
        return self.running >= self._most(now) or self.level < 1

    def room(self, now: float) -> int:
        """Return how many more reads would be let in at this instant, one after another."""
        return max(min(self._most(now) - self.running, int(self._level(now))), 0)

    def _level(self, now: float) -> float:
        rate = self.limits.per_second / 2 if now < self.protected_until else self.limits.per_second
        return min(self.level + max(now - self.filled, 0.0) * rate, float(self.limits.at_a_time))

    def _most(self, now: float) -> int:
        return (self.limits.at_a_time + 1) // 2 if now < self.protected_until else self.limits.at_a_time

    def refused(self, now: float) -> None:
        """Take note that a read was refused."""
        self.protected_until = now + self.limits.rest.total_seconds()

    def enter(self) -> None:
        """Count a read as running."""
        self.running += 1
        self.level -= 1

    def leave(self) -> None:
        """Count it as done."""
        self.running -= 1


class FallbackGate:
    """Lets reads of each use case fall back onto the primary within its share of the whole cap, and within the whole.

    Whoever is refused is told when to come again, after the rest and spread over once more its length, so that those
    refused together do not return together.
    """

    def __init__(self, limits: Limits, jitter: Callable[[], float] = random.random) -> None:
        self._limits = limits
        self._jitter = jitter
        self._all = Cap(limits)
        self._caps: dict[UseCase, Cap] = {case: Cap(limits.share(SHARES.get(case, OTHERS))) for case in UseCase}
        self.entered = dict.fromkeys(UseCase, 0)  # reads let in since the process began

    def enter(self, use_case: UseCase, now: float) -> timedelta | None:
        """Let a read in and return None, or return the time after which to come again. `now`: monotonic seconds."""
        caps = (self._caps[use_case], self._all)
        full = [cap for cap in caps if cap.full(now)]
        for cap in full:
            cap.refused(now)
        if full:
            return self._limits.rest * (1 + self._jitter())
        for cap in caps:
            cap.enter()
        self.entered[use_case] += 1
        return None

    def room(self, now: float) -> int:
        """Return how many more reads the whole cap would let in at this instant of monotonic seconds."""
        return self._all.room(now)

    def leave(self, use_case: UseCase) -> None:
        """Take note that a read that was let in is done."""
        for cap in (self._caps[use_case], self._all):
            cap.leave()
