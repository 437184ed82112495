"""How often what failed is started again: at once, then ever less often, until it has been steady for a while."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE = 2.0  # seconds after a first restart before there may be a second; doubles with each
LONGEST_PAUSE = 30.0
STEADY = 60.0  # seconds without a failure after which it counts as what never failed


@dataclass(frozen=True, slots=True)
class Past:
    """The restarts of one thing since it was last steady, and when the last one was, in monotonic seconds."""

    restarts: int = 0
    last: float = 0.0

    def pause(self, now: float) -> float:
        """Return the seconds until it may be started again."""
        if self.restarts == 0:
            return 0.0
        return max(self.last + min(FIRST_PAUSE * 2.0 ** (self.restarts - 1), LONGEST_PAUSE) - now, 0.0)

    def restarted(self, now: float) -> Past:
        """Return it with one restart more."""
        return Past(self.restarts + 1, now)

    def running(self, now: float) -> Past:
        """Return what is left of it while nothing has failed, up to `now`."""
        return Past() if now - self.last >= STEADY else self
