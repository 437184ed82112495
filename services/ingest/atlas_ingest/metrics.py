"""What `ingest` counts: once a batch and once a group, never once a value."""

from __future__ import annotations

from typing import Any

from atlaskit.batch import Answer, ItemState, Written
from atlaskit.errors import AtlasError
from atlaskit.rpc.errors import fault_of
from atlaskit.telemetry.measures import (
    COMMIT_DURATION,
    GROUP_ROWS,
    INGEST_BATCHES,
    INGEST_REFUSALS,
    INGEST_VALUES,
    QUEUE_ROWS,
    QUEUE_SIZE,
)
from atlaskit.telemetry.metrics import NO_METER, Tally, gauge, histogram
from opentelemetry.metrics import Meter

from atlas_ingest.fair_queue import FairQueue


class IngestMetrics:
    """Counts batches with what became of their items, and measures group commits."""

    def __init__(self, meter: Meter = NO_METER) -> None:
        self._values, self._batches = Tally(meter, INGEST_VALUES), Tally(meter, INGEST_BATCHES)
        self._refusals = Tally(meter, INGEST_REFUSALS)
        self._commits, self._groups = histogram(meter, COMMIT_DURATION), histogram(meter, GROUP_ROWS)
        for state in ItemState:
            self._values.begin(state.name.lower())
        for outcome in ("committed", "repeated", "refused"):
            self._batches.begin(outcome)

    def answered(self, written: Written) -> None:
        """Count a batch that is committed; the items of a repeat were counted with its first answer."""
        if written.repeated:
            self._batches.add(1, "repeated")
            return
        self._batches.add(1, "committed")
        for state, count in counts_of(written.answer).items():
            self._values.add(count, state.name.lower())

    def refused(self, error: AtlasError) -> None:
        """Count a batch that was refused, or failed, as a whole."""
        self._batches.add(1, "refused")
        self._refusals.add(1, fault_of(error).reason)

    def committed(self, seconds: float, rows: int) -> None:
        """Measure a group commit that took so long, of `rows` items: none if it failed."""
        self._commits.record(seconds, {"outcome": "committed" if rows else "failed"})
        if rows:
            self._groups.record(rows)


def queue_gauges(meter: Meter, queue: FairQueue[Any]) -> None:
    """Export what waits in the queue."""
    gauge(meter, QUEUE_ROWS, lambda: {(): queue.rows})
    gauge(meter, QUEUE_SIZE, lambda: {(): queue.size_bytes})


def counts_of(answer: Answer) -> dict[ItemState, int]:
    """Return the number of items in each state that some item is in."""
    counts = {state: answer.count(state) for state in ItemState}
    return {state: count for state, count in counts.items() if count}
