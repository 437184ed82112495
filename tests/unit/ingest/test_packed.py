"""Columns are read from their octets as protobuf reads them."""

from __future__ import annotations

import numpy as np
from atlas.ingest.v1.ingest_service_pb2 import ColumnBatch
from atlas_ingest.packed import columns_of, varints
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]  # the reference
from hypothesis import given
from hypothesis import strategies as st

int32 = st.integers(-(2**31), 2**31 - 1)
small = st.integers(0, 200)
int64 = st.integers(-(2**63), 2**63 - 1)
uint64 = st.integers(0, 2**64 - 1)


def columns(element: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    return st.lists(element, max_size=40)


@given(
    entity_ids=columns(int64),
    entity_indexes=columns(small | int32),
    attribute_indexes=columns(small),
    event_times_us=columns(int64),
    value_types=columns(small | int32),
    source_type_indexes=columns(int32),
    int64_values=columns(int64),
    uint64_values=columns(uint64),
    double_values=st.lists(st.floats(allow_nan=False), max_size=40),
    bool_values=st.lists(st.booleans(), max_size=40),
)
def test_every_number_is_what_protobuf_says(**given_columns: list[int]) -> None:
    batch = ColumnBatch(**given_columns)  # type: ignore[arg-type]
    read = columns_of(batch)
    assert set(read) == set(given_columns)
    for name, column in read.items():
        assert column.tolist() == list(getattr(batch, name)), name
        assert column.dtype == {"uint64_values": "u8", "double_values": "f8", "bool_values": "?"}.get(name, "i8")


@given(numbers=st.lists(uint64, max_size=30))
def test_varints_of_any_width_are_read(numbers: list[int]) -> None:
    octets = b"".join(map(_VarintBytes, numbers))
    assert varints(octets).astype(np.uint64).tolist() == numbers


def test_numbers_that_were_sent_one_by_one_or_in_runs_are_all_there() -> None:
    # entity_indexes: 1, then the run 2 and 300, then 5.
    octets = b"\x30\x01" + b"\x32\x03\x02\xac\x02" + b"\x30\x05"
    assert columns_of(ColumnBatch.FromString(octets))["entity_indexes"].tolist() == [1, 2, 300, 5]
