"""Boot time: the one clock that proofs are made of, and the wall clock for what people read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

# An age received from another process is stretched by this factor: two clocks may differ in rate.
RATE_NUMERATOR = 1001
RATE_DENOMINATOR = 1000
# Boot time runs on through a suspend and monotonic time does not. A difference above this drops all proofs.
DRIFT_LIMIT = timedelta(milliseconds=50)
_DRIFT_LIMIT_NS = 50_000_000


@dataclass(frozen=True, slots=True, order=True)
class BootInstant:
    """A point on this process's CLOCK_BOOTTIME, in nanoseconds. It never leaves its process; an age does."""

    nanoseconds: int

    def age_at(self, now: BootInstant) -> timedelta:
        """Return the time from this instant to `now`, rounded up to a microsecond; negative if `now` is earlier."""
        return timedelta(microseconds=-((self.nanoseconds - now.nanoseconds) // 1000))

    def minus(self, span: timedelta) -> BootInstant:
        """Return the instant `span` earlier."""
        return BootInstant(self.nanoseconds - round_microseconds(span) * 1000)


def round_microseconds(span: timedelta) -> int:
    """Return the span in whole microseconds, exactly."""
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def asked_at(question: BootInstant, age: timedelta) -> BootInstant:
    """Return the latest instant of this process that a remote instant of this age is proven not to precede.

    `question` is when this process sent the question that the age answers; the age is stretched for differing rates.
    """
    stretched = -(-round_microseconds(age) * RATE_NUMERATOR // RATE_DENOMINATOR)
    return BootInstant(question.nanoseconds - stretched * 1000)


class Clock(Protocol):
    """Where time comes from."""

    def boot(self) -> BootInstant:
        """Return this instant of boot time."""
        ...

    def monotonic(self) -> float:
        """Return monotonic seconds; differences against boot time show a suspend."""
        ...

    def wall(self) -> datetime:
        """Return the wall clock, UTC; for people only, never for a proof."""
        ...


class SystemClock:
    """The machine's clocks."""

    def boot(self) -> BootInstant:
        """Return this instant of CLOCK_BOOTTIME (of CLOCK_MONOTONIC where there is none)."""
        return BootInstant(time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)))

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Return the wall clock in UTC."""
        return datetime.now(UTC)


class SuspendWatch:
    """Tells whether boot time and monotonic time drifted apart since the last look (a suspend, so drop all proofs)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns = self._offset()

    def _offset(self) -> int:
        return self._clock.boot().nanoseconds - int(self._clock.monotonic() * 1e9)

    def drifted(self) -> bool:
        """Return True once after each drift above `DRIFT_LIMIT`."""
        offset = self._offset()
        if abs(offset - self._offset_ns) <= _DRIFT_LIMIT_NS:
            return False
        self._offset_ns = offset
        return True
