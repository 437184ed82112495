"""What the sink counts, and how far its audit is: by table, never by shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from atlaskit.cdc.topics import BY_NAME
from atlaskit.kafka.consumer import Partition
from atlaskit.telemetry.measures import (
    INSERT_DURATION,
    QUARANTINED,
    REPAIRS,
    REPAIRS_WAITING,
    SINK_BATCHES,
    SINK_ROWS,
    SINK_SHARDS,
    WATERMARK_AGE,
)
from atlaskit.telemetry.metrics import NO_METER, Figures, Tally, gauge, histogram
from opentelemetry.metrics import Meter

from atlas_olap_sink.advance import ShardState


class Observed(Protocol):
    """The pipeline that runs now."""

    def states(self) -> Mapping[Partition, ShardState]:
        """Return the state of each of its partitions."""
        ...

    def ages(self) -> Mapping[Partition, float | None]:
        """Return the seconds since a watermark of each was published; None: none is."""
        ...


class SinkMetrics:
    """Counts for the life of the process; the gauges are those of the pipeline that runs."""

    def __init__(self, meter: Meter = NO_METER) -> None:
        self._rows, self._batches = Tally(meter, SINK_ROWS), Tally(meter, SINK_BATCHES)
        self._repairs, self._quarantined = Tally(meter, REPAIRS), Tally(meter, QUARANTINED)
        self._inserts = histogram(meter, INSERT_DURATION)
        self._pipeline: Observed | None = None
        self._waiting: Callable[[], int] = lambda: 0
        for outcome in ("done", "failed"):
            self._repairs.begin(outcome)
        gauge(meter, WATERMARK_AGE, lambda: {} if self._pipeline is None else oldest(self._pipeline.ages()))
        gauge(meter, SINK_SHARDS, lambda: {} if self._pipeline is None else by_state(self._pipeline.states()))
        gauge(meter, REPAIRS_WAITING, lambda: {(): self._waiting()})

    def observe(self, pipeline: Observed | None, waiting: Callable[[], int]) -> None:
        """Show this pipeline from now on, and how many repairs wait; None: the process has no shards."""
        self._pipeline, self._waiting = pipeline, waiting

    def stored(self, table: str, rows: int) -> None:
        """Count rows that a table has acknowledged."""
        self._rows.add(rows, table)

    def inserted(self, seconds: float) -> None:
        """Count a batch, every row of which was acknowledged after so many seconds."""
        self._batches.add(1)
        self._inserts.record(seconds)

    def repaired(self, *, done: int, failed: int) -> None:
        """Count repairs that were made or did not succeed this time."""
        self._repairs.add(done, "done")
        self._repairs.add(failed, "failed")

    def quarantined(self, table: str) -> None:
        """Count an event that cannot be stored."""
        self._quarantined.add(1, table)


def oldest(ages: Mapping[Partition, float | None]) -> Figures:
    """Return the greatest age of each table; a table with a partition of unknown age is not in it."""
    tables: dict[tuple[str], float] = {}
    for at, age in ages.items():
        if age is not None:
            table = (table_of(at),)
            tables[table] = max(age, tables.get(table, 0.0))
    unknown = {(table_of(at),) for at, age in ages.items() if age is None}
    return {table: age for table, age in tables.items() if table not in unknown}


def by_state(states: Mapping[Partition, ShardState]) -> Figures:
    """Return the number of shards of each table in each state, 0 too."""
    counted = Counter((table_of(at), state.value) for at, state in states.items())
    tables = {table_of(at) for at in states}
    return {(table, state.value): counted[table, state.value] for table in sorted(tables) for state in ShardState}


def table_of(at: Partition) -> str:
    """Return the table whose rows a partition holds."""
    return BY_NAME[at.topic].table
