"""What the router counts of its answers, and shows of what it decides by."""

from __future__ import annotations

import time
from collections.abc import Iterable

from atlaskit.freshness.certificate import Certificate, PassedOver
from atlaskit.telemetry.measures import (
    ANSWERS,
    FALLBACK_ROOM,
    FALLBACKS,
    PASSED_OVER,
    READING_KNOWN,
    STALENESS,
)
from atlaskit.telemetry.metrics import NO_METER, Tally, counter, gauge, histogram
from opentelemetry.metrics import Meter

from atlas_query_router.fallback_gate import FallbackGate
from atlas_query_router.lag_board import LagBoard


class AnswerMetrics:
    """Counts answers by their certificates, and the copies that were passed over for answers and refusals."""

    def __init__(self, meter: Meter = NO_METER) -> None:
        self._answers, self._passed = Tally(meter, ANSWERS), Tally(meter, PASSED_OVER)
        self._staleness = histogram(meter, STALENESS)

    def answered(self, certificate: Certificate) -> None:
        """Count an answer, and measure how stale it is at most, if that is proven."""
        if certificate.source is not None:
            source = certificate.source.value
            self._answers.add(1, source, kind_of(certificate))
            if certificate.staleness is not None:
                self._staleness.record(certificate.staleness.total_seconds(), {"source": source})
        self.passed_over(certificate.fallbacks)

    def passed_over(self, passed: Iterable[PassedOver]) -> None:
        """Count copies from which a read was not answered."""
        for one in passed:
            self._passed.add(1, one.source.value, one.reason.name.lower())


def kind_of(certificate: Certificate) -> str:
    """Return what an answer's certificate claims: nothing, less than was asked for, or all of it."""
    if certificate.staleness is None:
        return "unknown"
    return "degraded" if certificate.degraded else "proven"


def decision_metrics(meter: Meter, gate: FallbackGate, board: LagBoard) -> None:
    """Export what the cap on the primary lets through, and whether there is a reading to prove anything by."""
    counter(meter, FALLBACKS, lambda: {(case.value,): count for case, count in gate.entered.items()})
    gauge(meter, FALLBACK_ROOM, lambda: {(): gate.room(time.monotonic())})
    gauge(meter, READING_KNOWN, lambda: {(): board.known() is not None})
