"""A certificate as initial metadata, which survives proxies that drop trailing metadata."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from atlas.freshness.v1.freshness_pb2 import DataSource, Freshness
from google.protobuf.duration_pb2 import Duration
from grpc import aio

SOURCE = "x-data-source"  # primary, replica, olap, lake or mixed
FRESHNESS_MS = "x-data-freshness-ms"  # proven staleness in whole milliseconds, rounded up
TIMESTAMP = "x-data-timestamp"  # wall clock less staleness, RFC 3339 in UTC, milliseconds; informational
REPLICATION_LAG_MS = "x-replication-lag-ms"  # as operators measure it, rounded up; informational


def metadata_of(freshness: Freshness) -> tuple[tuple[str, str], ...]:
    """Return the certificate as pairs of metadata. What is unknown has no pair: it is neither zero nor empty."""
    pairs = []
    if freshness.source != DataSource.DATA_SOURCE_UNSPECIFIED:
        pairs.append((SOURCE, source_text(freshness.source)))
    if freshness.HasField("staleness"):
        pairs.append((FRESHNESS_MS, str(_milliseconds_up(freshness.staleness))))
        if freshness.HasField("read_time"):
            read = freshness.read_time.ToDatetime(tzinfo=UTC)
            pairs.append((TIMESTAMP, _rfc3339_down(read - freshness.staleness.ToTimedelta())))
    if freshness.HasField("replication_lag"):
        pairs.append((REPLICATION_LAG_MS, str(_milliseconds_up(freshness.replication_lag))))
    return tuple(pairs)


async def send_freshness(context: aio.ServicerContext[Any, Any], freshness: Freshness) -> None:
    """Send the certificate as initial metadata; call it once, before the answer. Sent already: nothing happens."""
    try:
        await context.send_initial_metadata(metadata_of(freshness))
    except aio.UsageError:
        return


def source_text(source: int) -> str:
    """Return `replica` for DATA_SOURCE_REPLICA, and so on; of a number that this release does not know its digits."""
    known = DataSource.DESCRIPTOR.values_by_number.get(source)
    return known.name.removeprefix("DATA_SOURCE_").lower() if known else str(source)


def _milliseconds_up(span: Duration) -> int:
    return -(-(span.seconds * 1_000_000_000 + span.nanos) // 1_000_000)


def _rfc3339_down(instant: datetime) -> str:
    whole = instant - timedelta(microseconds=instant.microsecond % 1000)
    return whole.isoformat(timespec="milliseconds").replace("+00:00", "Z")
