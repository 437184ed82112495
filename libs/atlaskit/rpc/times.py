"""Spans and instants as the contract's messages, exactly: both count whole microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from atlaskit.clock import round_microseconds

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)


def duration_of(span: timedelta) -> Duration:
    """Return a span that is not negative."""
    seconds, rest = divmod(round_microseconds(span), 1_000_000)
    return Duration(seconds=seconds, nanos=rest * 1000)


def span_of(duration: Duration) -> timedelta:
    """Return a span; what is below a microsecond is cut off."""
    rest = duration.nanos // 1000 if duration.nanos >= 0 else -(-duration.nanos // 1000)
    return timedelta(seconds=duration.seconds, microseconds=rest)


def timestamp_of(instant: datetime) -> Timestamp:
    """Return an instant that knows its zone."""
    since = instant - _FIRST
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)
