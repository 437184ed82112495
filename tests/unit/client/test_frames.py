"""Tables of pyarrow and pandas, and dicts, become the same items that rows would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from atlas_client import ColumnBuilder, Uint64, batches_of_frame, rows_of

AT = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
AT_US = 1_767_270_615_123_456
TABLE = pa.table(
    {
        "disk": pa.array(["d1", "d2", "d3"]),
        "seen": pa.array([AT, AT + timedelta(seconds=1), AT + timedelta(seconds=2)], pa.timestamp("ns", tz="UTC")),
        "reads": pa.array([2**64 - 1, None, 0], pa.uint64()),
        "delta": pa.array([-(2**63), 2**63 - 1, None]),
        "heat": pa.array([1.5, None, -0.0]),
        "ok": pa.array([True, False, None]),
        "model": pa.array(["a", "", "b"]).dictionary_encode(),
        "raw": pa.array([b"\xff", None, b""]),
        "nothing": pa.nulls(3),
    }
)
ITEMS = {
    ("d1", "reads", Uint64(2**64 - 1), 0),
    ("d3", "reads", Uint64(0), 2),
    ("d1", "delta", -(2**63), 0),
    ("d2", "delta", 2**63 - 1, 1),
    ("d1", "heat", 1.5, 0),
    ("d3", "heat", -0.0, 2),
    ("d1", "ok", True, 0),
    ("d2", "ok", False, 1),
    ("d1", "model", "a", 0),
    ("d2", "model", "", 1),
    ("d3", "model", "b", 2),
    ("d1", "raw", b"\xff", 0),
    ("d3", "raw", b"", 2),
}


def typed(items: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    return {(entity, key, type(value), repr(value), second) for entity, key, value, second in items}


def items_of(builder: ColumnBuilder) -> set[tuple[Any, ...]]:
    writes = rows_of(builder.build())
    seconds = {AT_US + second * 1_000_000: second for second in range(3)}
    return typed({(w.entity, w.attribute, w.value, seconds[w.event_time]) for w in writes})  # type: ignore[index]


@pytest.mark.parametrize("data", [TABLE, *TABLE.to_batches()], ids=["table", "record batch"])
def test_every_cell_of_an_arrow_table_that_is_not_null_is_an_item(data: Any) -> None:
    builder = ColumnBuilder()
    builder.add_frame(data, entity="disk", event_time="seen", asset_type="disk")
    assert items_of(builder) == typed(ITEMS)


def test_in_pandas_what_is_missing_is_no_item() -> None:
    frame = TABLE.drop_columns(["reads", "delta", "nothing"]).to_pandas()
    frame["reads"] = pd.array([2**64 - 1, None, 0], dtype="UInt64")
    frame["delta"] = pd.array([-(2**63), 2**63 - 1, None], dtype="Int64")
    builder = ColumnBuilder()
    builder.add_frame(frame, entity="disk", event_time="seen")
    assert items_of(builder) == typed(ITEMS)


def test_dicts_are_rows_too() -> None:
    rows = [
        {key: value for key, value in row.items() if key != "reads"} | {"seen": AT + timedelta(seconds=second)}
        for second, row in enumerate(TABLE.to_pylist())
    ]
    builder = ColumnBuilder()
    builder.add_dicts(rows, entity="disk", event_time="seen")
    assert items_of(builder) == typed({item for item in ITEMS if item[1] != "reads"})


def test_times_may_be_microseconds_and_entities_numbers() -> None:
    builder = ColumnBuilder()
    builder.add_frame(pa.table({"e": [7, 8], "t": [AT_US, AT_US], "v": [1.0, 2.0]}), entity="e", event_time="t")
    batch = builder.build()
    assert (list(batch.entity_ids), list(batch.event_times_us)) == ([7, 8], [AT_US, AT_US])


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"e": ["a"], "v": [1]}, "no column 't'"),
        ({"e": ["a", None], "t": [1, 2], "v": [1, 2]}, "e: 1 rows are null"),
        ({"e": ["a"], "t": pa.array([AT.replace(tzinfo=None)]), "v": [1]}, "t: times without a zone"),
        ({"e": ["a"], "t": pa.array([1], pa.timestamp("ns", tz="UTC")), "v": [1]}, "lose data"),
        ({"e": ["a"], "t": ["now"], "v": [1]}, "t: string is no time"),
        ({"e": ["a"], "t": [1], "v": [[1, 2]]}, "v: list<item: int64> is no type"),
        ({"e": ["a"], "t": [1], "v": [AT]}, "v: timestamp"),
    ],
)
def test_a_column_that_cannot_be_sent_is_named_and_nothing_is_added(table: dict[str, Any], named: str) -> None:
    builder = ColumnBuilder()
    with pytest.raises((ValueError, TypeError), match=named):
        builder.add_frame(pa.table(table), entity="e", event_time="t")
    assert len(builder) == 0


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(TypeError, match="list is no table"):
        ColumnBuilder().add_frame([], entity="e", event_time="t")


def test_a_large_table_is_cut_into_batches_that_fit() -> None:
    count = 3_000
    table = pa.table(
        {
            "e": [f"e{n}" for n in range(count)],
            "t": list(range(count)),
            **{f"v{n}": list(range(count)) for n in range(30)},
            "text": ["x" * 8_000] * count,
        }
    )
    batches = list(batches_of_frame(table, entity="e", event_time="t"))
    assert sum(len(batch.value_types) for batch in batches) == count * 31
    assert all(len(batch.value_types) <= 50_000 and batch.ByteSize() <= 8 * 1024 * 1024 for batch in batches)
    assert [row for batch in batches for row in batch.entity_keys] == [f"e{n}" for n in range(count)]
