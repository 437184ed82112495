"""Spans and instants of messages are exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from atlaskit.rpc.times import duration_of, span_of, timestamp_of
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


@pytest.mark.parametrize("us", [0, 1, 999_999, 1_000_000, 86_400_000_001, 3_600_000_000 * 24 * 400 + 7])
def test_a_span_goes_there_and_back_as_it_is(us: int) -> None:
    span = timedelta(microseconds=us)
    expected = Duration()
    expected.FromTimedelta(span)
    assert duration_of(span) == expected
    assert span_of(duration_of(span)) == span


@pytest.mark.parametrize("nanos", [999, 1_999, -999, -1_999])
def test_what_is_below_a_microsecond_is_cut_off(nanos: int) -> None:
    assert span_of(Duration(nanos=nanos)) == Duration(nanos=nanos).ToTimedelta()


@pytest.mark.parametrize(
    "instant",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2200, 1, 1, 1, 2, 3, 4, tzinfo=UTC),
        datetime(2026, 6, 1, 12, 0, 0, 1, tzinfo=UTC).astimezone(),
    ],
)
def test_an_instant_is_that_of_the_library(instant: datetime) -> None:
    expected = Timestamp()
    expected.FromDatetime(instant)
    assert timestamp_of(instant) == expected
