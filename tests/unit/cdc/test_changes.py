"""What a change event says arrives exact to the bit, or is a fault."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from atlaskit.cdc.changes import HistoryColumns, history_columns, hot_columns, separated
from atlaskit.cdc.fields import Undecodable, microseconds
from doubles.change_events import base64_of, event, history_row
from hypothesis import example, given
from hypothesis import strategies as st

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
MOMENT = st.datetimes(datetime(1969, 12, 31), datetime(2100, 1, 1))  # noqa: DTZ001  # hypothesis wants them naive


def decoded(**changed: Any) -> HistoryColumns:
    return history_columns([orjson.loads(event("entity_attributes", history_row(1, **changed)))])


@given(INT64, st.integers(0, 2**64 - 1), st.binary(), TEXT, st.booleans())
@example(-(2**63), 2**64 - 1, b"\xff\x00\xfe", "", False)
def test_every_type_survives_json_unchanged(whole: int, unsigned: int, raw: bytes, text: str, truth: bool) -> None:
    columns = decoded(
        value_int=whole, value_uint=str(unsigned), value_bytes=base64_of(raw), value_text=text, value_bool=truth
    )
    assert columns.value_int.tolist() == [whole]
    assert columns.value_uint.tolist() == [unsigned]
    assert columns.value_bytes == [raw]
    assert columns.value_text == [text]
    assert columns.value_bool == [truth]


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
def test_a_double_keeps_every_bit(value: float) -> None:
    assert struct.pack("<d", decoded(value_double=value).value_double[0]) == struct.pack("<d", value)


@given(MOMENT, st.booleans())
def test_a_time_is_exact_however_many_decimals_its_text_has(moment: datetime, short: bool) -> None:
    text = moment.isoformat()
    text = (text.rstrip("0").rstrip(".") if short and "." in text else text) + "Z"
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert microseconds([text]).tolist() == [expected]


@pytest.mark.parametrize(
    "wrong",
    [
        {"value_int": 1.5},
        {"value_int": "5"},
        {"row_version": 2**63},
        {"value_uint": "-1"},
        {"value_uint": str(2**64)},
        {"value_uint": 5},
        {"value_double": "1.5"},
        {"value_bool": 1},
        {"value_text": 7},
        {"value_bytes": "%%"},
        {"event_time": "2024-02-29T23:59:59+01:00"},
        {"event_time": "yesterdayZ"},
        {"event_time": "NaTZ"},
        {"event_time": None},
    ],
)
def test_a_field_of_another_kind_is_a_fault_and_never_a_guess(wrong: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        decoded(**wrong)


def test_a_missing_field_is_a_fault() -> None:
    row = history_row(1)
    del row["deletion"]
    with pytest.raises(Undecodable, match="deletion"):
        history_columns([row])


def test_the_one_bad_row_of_a_batch_is_found() -> None:
    rows = [history_row(1), history_row(2, value_int="x"), history_row(3)]
    assert list(separated(rows, history_columns)) == [1]


def test_a_hot_row_is_kept_as_it_came() -> None:
    row = {"tenant_id": 1, "entity_id": 2, "shard": 3, "row_version": 4, "change": 5, "int_1": -7, "__op": "u"}
    assert orjson.loads(hot_columns([row]).payload[0]) == {k: v for k, v in row.items() if k != "__op"}
