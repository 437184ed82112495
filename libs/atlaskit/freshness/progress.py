"""How fast a copy has come along lately, and when it is likely to reach something: estimates, never a proof."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from atlaskit.clock import BootInstant
from atlaskit.position import Lsn

WINDOW = timedelta(seconds=5)
MOST = 256
LONGEST = timedelta(hours=1)  # an estimate beyond this is none


@dataclass(frozen=True, slots=True)
class Observation:
    """Where a copy was when it was last heard of. `position` and `lag` None: unknown."""

    seen: BootInstant
    position: Lsn | None
    lag: timedelta | None


class Progress:
    """The observations of one copy in the last five seconds, at most 256."""

    def __init__(self) -> None:
        self._seen: deque[Observation] = deque(maxlen=MOST)

    def saw(self, observation: Observation) -> None:
        """Take note of an observation; what is older than the window is forgotten."""
        self._seen.append(observation)
        while self._seen[0].seen.age_at(observation.seen) > WINDOW:
            self._seen.popleft()

    def forget(self) -> None:
        """Forget all: what follows is another history."""
        self._seen.clear()

    def until_position(self, target: Lsn, now: BootInstant) -> timedelta | None:
        """Return the time until the copy is likely to be at the position; None: it does not move, or is unknown."""
        known = [(one.seen, one.position) for one in self._seen if one.position is not None]
        if not known:
            return None
        (first, low), (last, high) = known[0], known[-1]
        if high >= target:
            return timedelta(0)
        took, moved = first.age_at(last), high.bytes - low.bytes
        if took <= timedelta(0) or moved <= 0:
            return None
        return _left(took * ((target.bytes - high.bytes) / moved), last, now)

    def until_staleness(self, limit: timedelta, now: BootInstant) -> timedelta | None:
        """Return the time until the lag is likely to be within the limit; None: it does not shrink, or is unknown."""
        known = [(one.seen, one.lag) for one in self._seen if one.lag is not None]
        if not known:
            return None
        (first, before), (last, after) = known[0], known[-1]
        if after <= limit:
            return timedelta(0)
        took, gained = first.age_at(last), before - after
        if took <= timedelta(0) or gained <= timedelta(0):
            return None
        return _left(took * ((after - limit) / gained), last, now)


def _left(span: timedelta, since: BootInstant, now: BootInstant) -> timedelta | None:
    left = max(span - since.age_at(now), timedelta(0))
    return left if left <= LONGEST else None
