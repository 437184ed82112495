"""The evidence as others see it: in ages of this moment, and as log lines when it changes."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

import structlog
from atlaskit.clock import Clock, SuspendWatch
from atlaskit.freshness.reading import CopyLag, Reading

from atlas_lag_monitor.evidence import Evidence
from atlas_lag_monitor.supervision import ticks

LOOK = timedelta(milliseconds=250)

log = structlog.get_logger(__name__)


class Board:
    """The evidence with the clock that its ages are told by."""

    def __init__(self, evidence: Evidence, clock: Clock) -> None:
        self.evidence = evidence
        self._clock = clock
        self._suspend = SuspendWatch(clock)

    def check_clock(self) -> None:
        """Drop every proof if the clocks drifted apart: the machine was suspended, or a clock is wrong."""
        if self._suspend.drifted():
            self.evidence.drop()
            log.warning("the clocks drifted apart; every proof was dropped")

    def reading(self) -> Reading:
        """Return the evidence in ages computed now."""
        self.check_clock()
        return self.evidence.reading(self._clock.boot())

    def slot_lag(self) -> int | None:
        """Return how many bytes of the log the slot of the change stream had not confirmed a moment ago, if known."""
        self.check_clock()
        return self.evidence.slot_lag(self._clock.boot())

    def held_back(self) -> int | None:
        """Return how many transactions the primary's slots kept from vacuum a moment ago, if known."""
        self.check_clock()
        return self.evidence.held_back(self._clock.boot())

    async def log_changes(self) -> NoReturn:
        """Log what changes in identity, epoch and the state of the copies."""
        last: dict[str, object] = {}
        async for _ in ticks(LOOK):
            if (state := summary(self.reading())) != last:
                log.info("board changed", **state)
                last = state
        raise AssertionError("ticks have no end")


def summary(reading: Reading) -> dict[str, object]:
    """Return what of a reading is worth a line when it changes: no ages."""
    identity = reading.identity
    copies = {copy.value: _state(lag) for copy, lag in reading.copies.items()}
    return {
        "system_identifier": None if identity is None else str(identity.system_identifier),
        "timeline": None if identity is None else identity.timeline,
        "epoch": reading.epoch,
        **copies,
    }


def _state(lag: CopyLag) -> str:
    if not lag.reachable:
        return "unreachable"
    return lag.problem or ("proven" if lag.lag is not None else "unknown")
