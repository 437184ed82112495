"""How many repeats a client may add to a service's load: an outage must not be followed by a storm of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.1  # repeats for each call
PER_SECOND = 0.5  # repeats that are there without any call, so that a client with few may repeat them too
MOST = 10.0


class RetryBudget:
    """Repeats of the calls to one service: a tenth of the calls, and one each two seconds; ten may be saved up."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left = MOST
        self._seen = now()

    def called(self) -> None:
        """Note a first attempt."""
        self._left = min(self._left + SHARE, MOST)

    def take(self) -> bool:
        """Take one repeat; False if none is left."""
        now = self._now()
        self._left = min(self._left + (now - self._seen) * PER_SECOND, MOST)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
