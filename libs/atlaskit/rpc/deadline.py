"""The point in time at which a caller stops waiting."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from grpc import aio

from atlaskit.errors import DeadlinePassed, DeadlineRequired


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A point on this process's monotonic clock, in seconds. It never leaves its process; what remains does."""

    at: float

    @classmethod
    def after(cls, span: timedelta) -> Deadline:
        """Return the point `span` from now."""
        return cls(time.monotonic() + span.total_seconds())

    @classmethod
    def of(cls, context: aio.ServicerContext[Any, Any]) -> Deadline:
        """Return the deadline of a running call. Raises DeadlineRequired if the caller set none."""
        seconds: float | None = context.time_remaining()
        if seconds is None:
            raise DeadlineRequired
        return cls(time.monotonic() + seconds)

    def remaining(self) -> timedelta:
        """Return the time that is left; zero when it has passed."""
        return timedelta(seconds=max(self.at - time.monotonic(), 0.0))

    def passed(self) -> bool:
        """Return True from the deadline on."""
        return time.monotonic() >= self.at

    def less(self, span: timedelta) -> Deadline:
        """Return the point `span` earlier: keep that much for the way back."""
        return Deadline(self.at - span.total_seconds())

    def require(self, what: str) -> timedelta:
        """Return the time that is left. Raises DeadlinePassed, naming `what` was to be done, if none is."""
        left = self.remaining()
        if not left:
            raise DeadlinePassed(f"the deadline passed before {what}")
        return left
