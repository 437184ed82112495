"""Every metric that a service exports, once: its name, unit, labels and meaning; and which service exports which.

Names and units are OpenTelemetry's (UCUM; in braces: what is counted), as its conventions have them where they do.
No label names a tenant, an entity or an attribute: the values of each label are few, whoever calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

_SUFFIXES: Final = {"s": "_seconds", "By": "_bytes"}
# Seconds: a write is acknowledged in milliseconds, an analytical read may take half a minute.
_DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AGES: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)  # up to HISTORICAL
_SIZES: Final = (1.0, 10.0, 100.0, 250.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 50_000.0)


class Kind(StrEnum):
    """How the figures of a metric are to be read."""

    COUNTER = "counter"  # a sum since the process began
    GAUGE = "gauge"  # what is so now; absent while it is unknown
    HISTOGRAM = "histogram"  # how many were at most so large, and their sum


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `bounds` are the upper ends of the buckets of a histogram, in its unit."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """Return the name by which Prometheus knows it."""
        total = "_total" if self.kind is Kind.COUNTER else ""
        return self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "") + total

    @property
    def exposed_labels(self) -> tuple[str, ...]:
        """Return the labels by which Prometheus knows them."""
        return tuple(label.replace(".", "_") for label in self.labels)


def _counter(name: str, unit: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, meaning, labels)


def _gauge(name: str, unit: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, meaning, labels)


def _histogram(name: str, unit: str, meaning: str, bounds: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, unit, meaning, labels, bounds)


# Of every service that answers gRPC. Calls of health and reflection, and streams without an end, are left out.
CALL_DURATION: Final = _histogram(
    "rpc.server.call.duration",
    "s",
    "Time of a gRPC call, or of a whole stream, by its status; CANCELLED: its caller left or ran out of time",
    _DURATIONS,
    "rpc.method",
    "rpc.response.status_code",
)
CALL_REFUSALS: Final = _counter(
    "atlas.rpc.refusals", "{call}", "gRPC calls answered with an error, by its reason", "rpc.method", "error.type"
)

INGEST_VALUES: Final = _counter(
    "atlas.ingest.values",
    "{value}",
    "Items (values or deletes) of committed batches: stored, superseded or refused; a repeat counts once",
    "outcome",
)
INGEST_BATCHES: Final = _counter(
    "atlas.ingest.batches", "{batch}", "Batches: committed, repeated (answered again) or refused", "outcome"
)
INGEST_REFUSALS: Final = _counter(
    "atlas.ingest.refusals", "{batch}", "Batches refused or failed as a whole, those in streams too", "reason"
)
QUEUE_ROWS: Final = _gauge("atlas.ingest.queue.rows", "{row}", "Items that wait for a commit")
QUEUE_SIZE: Final = _gauge("atlas.ingest.queue.size", "By", "The same in decoded bytes")
COMMIT_DURATION: Final = _histogram(
    "atlas.ingest.commit.duration", "s", "Time of one group commit: committed or failed", _DURATIONS, "outcome"
)
GROUP_ROWS: Final = _histogram("atlas.ingest.group.rows", "{row}", "Items that shared a transaction", _SIZES)

ANSWERS: Final = _counter(
    "atlas.query.answers",
    "{answer}",
    "Answers by the copy that gave them and their certificate: proven (as fresh as asked for), degraded (proven, and "
    "older than asked for) or unknown (no claim)",
    "source",
    "certificate",
)
STALENESS: Final = _histogram(
    "atlas.query.staleness", "s", "Proven staleness of answers; one of unknown staleness is not in it", _AGES, "source"
)
PASSED_OVER: Final = _counter(
    "atlas.query.passed_over", "{source}", "Copies that a read considered and was not answered from", "source", "reason"
)
FALLBACKS: Final = _counter(
    "atlas.query.fallbacks", "{read}", "Reads let through to the primary in place of their first choice", "use_case"
)
FALLBACK_ROOM: Final = _gauge(
    "atlas.query.fallback.room", "{read}", "Reads that may fall back onto the primary at this instant, of all use cases"
)
READING_KNOWN: Final = _gauge(
    "atlas.query.reading.known", "", "1 while the router has a reading of the lag monitor to prove by, else 0"
)

COPY_STALENESS: Final = _gauge(
    "atlas.copy.staleness",
    "s",
    "What a copy was last seen to lag behind, by the monitor's own marks; absent while unknown",
    "source",
)
COPY_KNOWN: Final = _gauge(
    "atlas.copy.staleness.known", "", "1 while the staleness of a copy is known, 0 while it is not", "source"
)
COPY_REACHABLE: Final = _gauge("atlas.copy.reachable", "", "1 while a copy answers the monitor, else 0", "source")
COPY_LAG: Final = _gauge("atlas.copy.lag", "By", "Log that a copy has not taken yet; absent while unknown", "source")
BEAT_AGE: Final = _gauge("atlas.beat.age", "s", "Age of the newest usable beat; absent while there is none")
SLOT_LAG: Final = _gauge(
    "atlas.slot.lag", "By", "Log that the slot of the change stream has not confirmed; absent while unknown"
)
SLOTS_HOLD: Final = _gauge(
    "atlas.slots.held.transactions",
    "{transaction}",
    "Transactions since the oldest one that a replication slot of the primary, whichever is furthest back, keeps from "
    "vacuum; absent while unknown",
)

SINK_ROWS: Final = _counter("atlas.sink.rows", "{row}", "Rows that ClickHouse has acknowledged", "table")
SINK_BATCHES: Final = _counter("atlas.sink.batches", "{batch}", "Batches of records taken from Kafka and inserted")
INSERT_DURATION: Final = _histogram(
    "atlas.sink.insert.duration", "s", "Time from a decoded batch to its last acknowledged row", _DURATIONS
)
WATERMARK_AGE: Final = _gauge(
    "atlas.sink.watermark.age",
    "s",
    "Time since an audited watermark was last published, of the shard of a table where that is longest ago; absent "
    "while a shard has none",
    "table",
)
SINK_SHARDS: Final = _gauge(
    "atlas.sink.shards",
    "{shard}",
    "Shards of this process: claiming, reading_again, unbalanced, owing (a snapshot) or frozen until somebody looks",
    "table",
    "state",
)
REPAIRS: Final = _counter("atlas.sink.repairs", "{repair}", "Repairs from PostgreSQL: done, or failed once", "outcome")
REPAIRS_WAITING: Final = _gauge("atlas.sink.repairs.waiting", "{repair}", "Repairs that are not done")
QUARANTINED: Final = _counter("atlas.sink.quarantined", "{event}", "Events that cannot be stored", "table")

REQUEST_DURATION: Final = _histogram(
    "http.server.request.duration",
    "s",
    "Time of an HTTP request; those of health are left out",
    _DURATIONS,
    "http.request.method",
    "http.route",
    "http.response.status_code",
)

_OF_CALLS: Final = (CALL_DURATION, CALL_REFUSALS)
METRICS: Final[Mapping[str, tuple[Metric, ...]]] = MappingProxyType(
    {
        "ingest": (
            *_OF_CALLS,
            INGEST_VALUES,
            INGEST_BATCHES,
            INGEST_REFUSALS,
            QUEUE_ROWS,
            QUEUE_SIZE,
            COMMIT_DURATION,
            GROUP_ROWS,
        ),
        "query-router": (
            *_OF_CALLS,
            ANSWERS,
            STALENESS,
            PASSED_OVER,
            FALLBACKS,
            FALLBACK_ROOM,
            READING_KNOWN,
        ),
        "lag-monitor": (
            *_OF_CALLS,
            COPY_STALENESS,
            COPY_KNOWN,
            COPY_REACHABLE,
            COPY_LAG,
            BEAT_AGE,
            SLOT_LAG,
            SLOTS_HOLD,
        ),
        "olap-sink": (
            SINK_ROWS,
            SINK_BATCHES,
            INSERT_DURATION,
            WATERMARK_AGE,
            SINK_SHARDS,
            REPAIRS,
            REPAIRS_WAITING,
            QUARANTINED,
        ),
        "gateway": (REQUEST_DURATION,),
    }
)
