"""The controller's own notes: history and clock, numbers that are never used twice, and what is known so far."""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

from checker.history import History, Item, WriteAcknowledged, WriteSent
from checker.index import position_of
from checker.processes.wire import BEGIN_US

# How far back a history read looks, and how far back a correction reaches, in observations of the run.
RECENT = 400


def now() -> int:
    """Return this instant of boot time in nanoseconds: the controller's clock, which no fault touches."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class Notebook:
    """One run as its controller sees it. Only its own event loop writes in it."""

    history: History
    chance: random.Random
    tokens: dict[int, str] = field(default_factory=dict)  # the newest token of each tenant
    satisfied: dict[tuple[str, tuple[str, ...]], int] = field(
        default_factory=dict
    )  # when each class last met its limit
    claims: dict[str, int] = field(default_factory=dict)  # the newest claim of each source, in nanoseconds
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _written: dict[tuple[int, str], deque[int]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=20)))

    def value(self) -> int:
        """Return a value that was never written before in this run."""
        return next(self._numbers)

    @staticmethod
    def moment(value: int) -> int:
        """Return the event time of a new observation with this value: a second after that of the value before."""
        return BEGIN_US + value * 1_000_000

    def recent(self) -> int:
        """Return the event time from which on a history read looks."""
        last = next(self._numbers)
        return self.moment(max(last - RECENT, 0))

    def new(self, key: str) -> Item:
        """Return a new observation of a key."""
        value = self.value()
        return Item(key, self.moment(value), value)

    def correction(self, tenant: int, key: str) -> Item | None:
        """Return another value of an observation that was acknowledged, or None: there is none."""
        known = self._written[tenant, key]
        return Item(key, self.chance.choice(known), self.value()) if known else None

    def removal(self, tenant: int, key: str) -> Item | None:
        """Return the delete of an observation that was acknowledged, or None: there is none."""
        known = self._written[tenant, key]
        return Item(key, known[-1], None) if known else None

    def acknowledged(self, epoch: int) -> dict[int, set[int]]:
        """Return the values of each write that was acknowledged in this epoch, by its operation."""
        events = self.history.events
        acked = {
            event.op
            for event in events
            if isinstance(event, WriteAcknowledged) and (position_of(event.token) or (0,))[0] == epoch
        }
        return {
            event.op: {item.value for item in event.items if item.value is not None}
            for event in events
            if isinstance(event, WriteSent) and event.op in acked
        }

    def stored(self, tenant: int, items: tuple[Item, ...], token: str) -> None:
        """Note what an acknowledgement says."""
        self.tokens[tenant] = token
        for item in items:
            if item.value is not None and item.event_time is not None:
                self._written[tenant, item.key].append(item.event_time)
