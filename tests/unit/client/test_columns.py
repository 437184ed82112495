"""A batch of columns says exactly the rows that were put in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from atlas_client import ColumnBuilder, Scalar, Uint64, ValueType, Write, batches_of, rows_of
from atlas_client.columns import MAX_BYTES, MAX_ITEMS
from atlas_client.values import from_message, to_message, type_of
from hypothesis import given
from hypothesis import strategies as st

TIMES = st.integers(0, 2**52)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 2**64 - 1).map(Uint64),
    st.floats(allow_nan=False),
    st.booleans(),
    TEXT,
    st.binary(max_size=8),
)


def writes(entities: st.SearchStrategy[str] | st.SearchStrategy[int]) -> st.SearchStrategy[list[Write]]:
    return st.lists(st.builds(Write, entities, TEXT, SCALARS, TIMES, st.none(), st.just("") | TEXT), max_size=30)


@given(st.one_of(writes(TEXT), writes(st.integers(0, 2**63 - 1))))
def test_rows_come_back_as_they_went_in(rows: list[Write]) -> None:
    builder = ColumnBuilder()
    builder.add_rows(rows)
    batch = builder.build()
    back = rows_of(type(batch).FromString(batch.SerializeToString()))
    assert [(row.entity, row.attribute, row.event_time, row.source_type) for row in back] == [
        (row.entity, row.attribute, row.event_time, row.source_type) for row in rows
    ]
    assert [(row.value_type, row.value) for row in back] == [(type_of(row.value), row.value) for row in rows]
    assert len(set(batch.attribute_keys)) == len(batch.attribute_keys)


@given(SCALARS)
def test_a_value_keeps_its_type_through_its_message(value: Scalar) -> None:
    back = from_message(to_message(value))
    assert back == value
    assert back is not None
    assert type_of(back) is type_of(value)


def test_the_asset_type_belongs_to_the_entity() -> None:
    builder = ColumnBuilder()
    builder.add("a", "x", 1, 0)
    builder.add("b", "x", 1, 0, asset_type="disk")
    assert list(builder.build().asset_types) == ["", "disk"]


def test_a_table_of_arrays_equals_its_rows() -> None:
    table, one_by_one = ColumnBuilder(), ColumnBuilder()
    entities, times = ["d1", "d2", "d1"], [10, 20, 30]
    columns: dict[str, Any] = {
        "temperature": np.array([1.5, 2.5, 3.5], np.float32),
        "errors": np.array([1, 2, 3], np.uint16),
        "delta": [-1, 0, 1],
        "failed": np.array([True, False, True]),
        "model": ["x", "y\0", "z"],
    }
    table.add_table(entities, times, columns, asset_type="disk")
    for name, column in columns.items():
        for place, entity in enumerate(entities):
            value = column[place]
            plain: Scalar = value.item() if isinstance(value, np.generic) else value
            kind = ValueType.UINT64 if name == "errors" else None
            one_by_one.add(entity, name, plain, times[place], value_type=kind, asset_type="disk")
    assert rows_of(table.build()) == rows_of(one_by_one.build())


@pytest.mark.parametrize("column", [[1, 2], [[1], [2], [3]], [1j, 2j, 3j], ["a", 1, None]])
def test_a_column_that_is_none_adds_nothing(column: list[object]) -> None:
    builder = ColumnBuilder()
    with pytest.raises((ValueError, TypeError)):
        builder.add_table(["a", "b", "c"], [1, 2, 3], {"good": [1, 2, 3], "bad": column})  # type: ignore[dict-item]
    assert len(builder) == 0


@pytest.mark.parametrize(
    ("value", "kind"), [(-1, ValueType.UINT64), (2**63, ValueType.INT64), (2**64, None), (-(2**63) - 1, None)]
)
def test_an_integer_that_fits_no_type_is_refused(value: int, kind: ValueType | None) -> None:
    builder = ColumnBuilder()
    with pytest.raises(ValueError, match="is no"):
        builder.add("a", "x", value, 0, value_type=kind)
    assert len(builder) == 0


def test_a_value_of_another_type_than_it_says_is_refused_whole() -> None:
    builder = ColumnBuilder()
    with pytest.raises(TypeError):
        builder.add("a", "x", "text", 0, value_type=ValueType.DOUBLE)
    builder.add("a", "x", 1.5, 0)
    assert [row.value for row in rows_of(builder.build())] == [1.5]


def test_a_time_needs_a_zone() -> None:
    builder = ColumnBuilder()
    with pytest.raises(ValueError, match="time zone"):
        builder.add("a", "x", 1, datetime(2026, 1, 1))  # noqa: DTZ001
    builder.add("a", "x", 1, datetime(1970, 1, 1, 0, 0, 0, 7, UTC))
    assert list(builder.build().event_times_us) == [7]


def test_keys_and_numbers_do_not_mix() -> None:
    builder = ColumnBuilder()
    builder.add("a", "x", 1, 0)
    with pytest.raises(ValueError, match="all keys or all numbers"):
        builder.add(1, "x", 1, 0)


def test_batches_stay_within_the_limits_of_the_contract() -> None:
    many = list(batches_of(Write("a", "x", number, number) for number in range(MAX_ITEMS + 1)))
    assert [len(batch.value_types) for batch in many] == [MAX_ITEMS, 1]
    large = list(batches_of(Write("a", "x", "v" * 60_000, number) for number in range(200)))
    assert len(large) == 2
    assert all(batch.ByteSize() < MAX_BYTES + 2**20 for batch in large)
