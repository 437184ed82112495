"""A certificate as headers: rounded so that it never claims more than was proven."""

from __future__ import annotations

from atlas.freshness.v1.freshness_pb2 import DATA_SOURCE_OLAP, Freshness
from atlaskit.rpc.freshness_metadata import metadata_of
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st


def test_what_is_unknown_has_no_header() -> None:
    read = Timestamp(seconds=1_700_000_000)
    assert metadata_of(Freshness(source=DATA_SOURCE_OLAP, read_time=read)) == (("x-data-source", "olap"),)


def test_every_header_has_its_unit() -> None:
    certificate = Freshness(
        source=DATA_SOURCE_OLAP,
        staleness=Duration(seconds=1, nanos=500_001_000),
        replication_lag=Duration(nanos=1),
        read_time=Timestamp(seconds=1_700_000_000, nanos=250_000_000),
    )
    assert dict(metadata_of(certificate)) == {
        "x-data-source": "olap",
        "x-data-freshness-ms": "1501",
        "x-data-timestamp": "2023-11-14T22:13:18.749Z",
        "x-replication-lag-ms": "1",
    }


def test_a_source_of_a_later_release_is_named_by_its_number() -> None:
    assert metadata_of(Freshness(source=77)) == (("x-data-source", "77"),)  # type: ignore[arg-type]


@given(st.integers(0, 86_400), st.integers(0, 999_999))
def test_staleness_is_never_rounded_down(seconds: int, microseconds: int) -> None:
    staleness = Duration(seconds=seconds, nanos=microseconds * 1000)
    told = int(dict(metadata_of(Freshness(staleness=staleness)))["x-data-freshness-ms"])
    true = seconds * 1_000_000 + microseconds
    assert true <= told * 1000 < true + 1000
