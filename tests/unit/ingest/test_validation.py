"""Every bad input has its own reason and path, and takes nothing good with it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1.value_pb2 import (
    VALUE_TYPE_BOOL,
    VALUE_TYPE_BYTES,
    VALUE_TYPE_DOUBLE,
    VALUE_TYPE_INT64,
    VALUE_TYPE_STRING,
    VALUE_TYPE_UINT64,
    AttributeValue,
)
from atlas_ingest import validation
from atlas_ingest.decoding import draft_of_columns, draft_of_rows
from atlas_ingest.items import digest_of
from atlas_ingest.wire import Decoder, Undecodable
from atlaskit.batch import Answer, ItemState, WriteBatch
from atlaskit.errors import InvalidRequest
from atlaskit.model import EntityIdentity, Tenant, ValueType
from hypothesis import given
from hypothesis import strategies as st

TYPES = [VALUE_TYPE_INT64, VALUE_TYPE_UINT64, VALUE_TYPE_DOUBLE, VALUE_TYPE_BOOL, VALUE_TYPE_STRING, VALUE_TYPE_BYTES]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
KEYED = Tenant(7, "acme", EntityIdentity.KEYED, 10, 100, b"k" * 16, NOW)
NUMBERED = Tenant(8, "counted", EntityIdentity.NUMBERED, 5, 100, b"n" * 16, NOW)


def write(n: int = 0, tenant: Tenant = KEYED) -> pb2.AttributeWrite:
    item = pb2.AttributeWrite(
        attribute_key="temperature", value=AttributeValue(double_value=20.5 + n), asset_type="disk"
    )
    item.event_time.FromDatetime(NOW - timedelta(minutes=n + 1))
    if tenant is KEYED:
        item.entity_key = f"disk-{n}"
    else:
        item.entity_id = n
    return item


def checked_rows(*writes: pb2.AttributeWrite, tenant: Tenant = KEYED) -> WriteBatch:
    return checked(pb2.WriteAttributesRequest(rows=pb2.RowBatch(writes=writes)), tenant)


def checked(request: pb2.WriteAttributesRequest, tenant: Tenant = KEYED) -> WriteBatch:
    said = validation.Request(tenant, uuid.uuid4(), digest_of(request), request.ByteSize(), "")
    if request.HasField("rows"):
        draft = draft_of_rows(request.rows, tenant.identity)
    else:
        draft = draft_of_columns(request.columns, tenant.identity)
    return validation.checked(draft, said, NOW)


def columns() -> pb2.ColumnBatch:
    """Six items of two entities and two attributes, one of each type."""
    return pb2.ColumnBatch(
        entity_keys=["a", "b"],
        asset_types=["disk", ""],
        attribute_keys=["x", "y"],
        source_types=["Counter64"],
        entity_indexes=[0, 0, 0, 1, 1, 1],
        attribute_indexes=[0, 1, 0, 1, 0, 1],
        event_times_us=[NOW_US - n for n in range(6)],
        value_types=[
            VALUE_TYPE_INT64,
            VALUE_TYPE_UINT64,
            VALUE_TYPE_DOUBLE,
            VALUE_TYPE_BOOL,
            VALUE_TYPE_STRING,
            VALUE_TYPE_BYTES,
        ],
        source_type_indexes=[0, 1, 0, 0, 0, 0],
        int64_values=[-(2**63)],
        uint64_values=[2**64 - 1],
        double_values=[-0.0],
        bool_values=[True],
        string_values=[""],
        bytes_values=[b"\0\xff"],
    )


def assert_refused(batch: WriteBatch, item: int, reason: str, field: str) -> None:
    assert [(r.index, r.reason, r.field) for r in batch.refusals] == [(item, reason, field)]
    assert batch.states[item] == ItemState.REFUSED
    others = [state for index, state in enumerate(batch.states) if index != item]
    assert others == [ItemState.STORED] * len(others)


def set_nanos(w: pb2.AttributeWrite) -> None:
    w.event_time.nanos += 1


def set_time(delta: timedelta) -> Callable[[pb2.AttributeWrite], None]:
    return lambda w: w.event_time.FromDatetime(NOW + delta)


Spoil = Callable[[Any], object]
ROWS: dict[str, tuple[Spoil, str, str]] = {
    "no entity": (lambda w: w.ClearField("entity_key"), "ENTITY_MISSING", "entity"),
    "a number for a keyed tenant": (lambda w: setattr(w, "entity_id", 5), "IDENTITY_KIND_WRONG", "entity_id"),
    "an empty entity key": (lambda w: setattr(w, "entity_key", ""), "TEXT_LENGTH", "entity_key"),
    "a long entity key": (lambda w: setattr(w, "entity_key", "é" * 257), "TEXT_LENGTH", "entity_key"),
    "NUL in an entity key": (lambda w: setattr(w, "entity_key", "a\0b"), "TEXT_HAS_NUL", "entity_key"),
    "no attribute": (lambda w: w.ClearField("attribute_key"), "TEXT_LENGTH", "attribute_key"),
    "NUL in an attribute": (lambda w: setattr(w, "attribute_key", "\0"), "TEXT_HAS_NUL", "attribute_key"),
    "a long attribute": (lambda w: setattr(w, "attribute_key", "x" * 513), "TEXT_LENGTH", "attribute_key"),
    "no value": (lambda w: w.ClearField("value"), "VALUE_MISSING", "value"),
    "NaN": (lambda w: setattr(w.value, "double_value", math.nan), "VALUE_NOT_FINITE", "value.double_value"),
    "infinity": (lambda w: setattr(w.value, "double_value", -math.inf), "VALUE_NOT_FINITE", "value.double_value"),
    "NUL in a string": (lambda w: setattr(w.value, "string_value", "\0"), "TEXT_HAS_NUL", "value.string_value"),
    "a long string": (lambda w: setattr(w.value, "string_value", "x" * 65537), "TEXT_LENGTH", "value.string_value"),
    "long bytes": (lambda w: setattr(w.value, "bytes_value", b"x" * 65537), "VALUE_TOO_LONG", "value.bytes_value"),
    "no event time": (lambda w: w.ClearField("event_time"), "EVENT_TIME_MISSING", "event_time"),
    "a time before 1970": (
        lambda w: setattr(w.event_time, "seconds", -1),
        "EVENT_TIME_OUT_OF_RANGE",
        "event_time",
    ),
    "a time beyond tomorrow": (set_time(timedelta(days=1, seconds=1)), "EVENT_TIME_OUT_OF_RANGE", "event_time"),
    "a time beyond 64 bits": (
        lambda w: setattr(w.event_time, "seconds", 2**62),
        "EVENT_TIME_OUT_OF_RANGE",
        "event_time",
    ),
    "nanoseconds": (set_nanos, "EVENT_TIME_TOO_FINE", "event_time"),
    "a long source type": (lambda w: setattr(w, "source_type", "x" * 65), "TEXT_LENGTH", "source_type"),
    "a long asset type": (lambda w: setattr(w, "asset_type", "x" * 129), "TEXT_LENGTH", "asset_type"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_row_is_refused_by_name_and_its_neighbours_are_stored(name: str) -> None:
    spoil, reason, field = ROWS[name]
    writes = [write(0), write(1), write(2)]
    spoil(writes[1])
    assert_refused(checked_rows(*writes), 1, reason, f"rows.writes[1].{field}")


def test_the_ends_of_every_range_are_stored() -> None:
    first, last, long = write(0), write(1), write(2)
    first.event_time.FromDatetime(datetime(1970, 1, 1, tzinfo=UTC))
    last.event_time.FromDatetime(NOW + timedelta(days=1))
    long.entity_key, long.attribute_key, long.source_type, long.asset_type = "é" * 256, "x" * 512, "s" * 64, "t" * 128
    long.value.string_value = "x" * 65536
    assert not checked_rows(first, last, long).refusals


def test_a_negative_entity_number_is_refused() -> None:
    writes = [write(0, NUMBERED), write(1, NUMBERED)]
    writes[1].entity_id = -1
    batch = checked_rows(*writes, tenant=NUMBERED)
    assert_refused(batch, 1, "ENTITY_ID_OUT_OF_RANGE", "rows.writes[1].entity_id")


def test_columns_of_every_type_are_stored_bit_for_bit() -> None:
    batch = checked(pb2.WriteAttributesRequest(columns=columns()))
    assert not batch.refusals
    kinds = map(ValueType, batch.value_types.tolist())
    values = [batch.values[kind][place] for kind, place in zip(kinds, batch.value_places.tolist(), strict=True)]
    assert values == [-(2**63), 2**64 - 1, -0.0, True, "", b"\0\xff"]
    assert math.copysign(1, cast("float", values[2])) == -1
    assert batch.asset_type_indexes.tolist() == [1, 1, 1, 0, 0, 0]


COLUMN_ITEMS: dict[str, tuple[Spoil, list[int], str, str]] = {
    "a bad entity key": (lambda c: c.entity_keys.__setitem__(0, ""), [0, 1, 2], "TEXT_LENGTH", "entity_keys[0]"),
    "NUL in an attribute": (
        lambda c: c.attribute_keys.__setitem__(1, "\0"),
        [1, 3, 5],
        "TEXT_HAS_NUL",
        "attribute_keys[1]",
    ),
    "an empty source type": (lambda c: c.source_types.__setitem__(0, ""), [1], "TEXT_LENGTH", "source_types[0]"),
    "a long asset type": (
        lambda c: c.asset_types.__setitem__(0, "t" * 129),
        [0, 1, 2],
        "TEXT_LENGTH",
        "asset_types[0]",
    ),
    "NaN": (lambda c: c.double_values.__setitem__(0, math.nan), [2], "VALUE_NOT_FINITE", "double_values[0]"),
    "NUL in a string": (lambda c: c.string_values.__setitem__(0, "\0"), [4], "TEXT_HAS_NUL", "string_values[0]"),
    "long bytes": (lambda c: c.bytes_values.__setitem__(0, b"x" * 65537), [5], "VALUE_TOO_LONG", "bytes_values[0]"),
    "a time outside": (
        lambda c: c.event_times_us.__setitem__(3, -1),
        [3],
        "EVENT_TIME_OUT_OF_RANGE",
        "event_times_us[3]",
    ),
}


@pytest.mark.parametrize("name", COLUMN_ITEMS)
def test_a_bad_entry_of_a_column_refuses_the_items_that_use_it(name: str) -> None:
    spoil, items, reason, field = COLUMN_ITEMS[name]
    batch_columns = columns()
    spoil(batch_columns)
    batch = checked(pb2.WriteAttributesRequest(columns=batch_columns))
    assert [(r.index, r.reason, r.field) for r in batch.refusals] == [(i, reason, f"columns.{field}") for i in items]
    assert batch.stored().tolist() == [i for i in range(6) if i not in items]


def test_an_unknown_value_type_refuses_its_item_and_takes_no_value() -> None:
    batch_columns = columns()
    batch_columns.value_types[3:4] = cast("Any", [99])
    del batch_columns.bool_values[:]
    assert_refused(
        checked(pb2.WriteAttributesRequest(columns=batch_columns)), 3, "VALUE_TYPE_UNKNOWN", "columns.value_types[3]"
    )


COLUMN_FAULTS: dict[str, tuple[Spoil, str, str]] = {
    "a short column": (lambda c: c.entity_indexes.pop(), "COLUMN_LENGTH_MISMATCH", "columns.entity_indexes"),
    "a missing value": (lambda c: c.int64_values.pop(), "COLUMN_LENGTH_MISMATCH", "columns.int64_values"),
    "a value too many": (lambda c: c.bytes_values.append(b""), "COLUMN_LENGTH_MISMATCH", "columns.bytes_values"),
    "too few asset types": (lambda c: c.asset_types.pop(), "COLUMN_LENGTH_MISMATCH", "columns.asset_types"),
    "an entity that is not there": (
        lambda c: c.entity_indexes.__setitem__(4, 2),
        "INDEX_OUT_OF_RANGE",
        "columns.entity_indexes[4]",
    ),
    "a negative index": (
        lambda c: c.attribute_indexes.__setitem__(0, -1),
        "INDEX_OUT_OF_RANGE",
        "columns.attribute_indexes[0]",
    ),
    "a source type that is not there": (
        lambda c: c.source_type_indexes.__setitem__(5, 2),
        "INDEX_OUT_OF_RANGE",
        "columns.source_type_indexes[5]",
    ),
    "an entity twice": (
        lambda c: c.entity_keys.__setitem__(1, "a"),
        "DICTIONARY_NOT_DISTINCT",
        "columns.entity_keys[1]",
    ),
    "both dictionaries": (lambda c: c.entity_ids.append(1), "IDENTITY_KIND_WRONG", "columns.entity_ids"),
}


@pytest.mark.parametrize("name", COLUMN_FAULTS)
def test_columns_that_do_not_fit_refuse_the_batch_with_the_path(name: str) -> None:
    spoil, reason, field = COLUMN_FAULTS[name]
    batch_columns = columns()
    spoil(batch_columns)
    with pytest.raises(InvalidRequest) as refused:
        checked(pb2.WriteAttributesRequest(columns=batch_columns))
    assert (refused.value.code, refused.value.field) == (reason, field)


def test_a_batch_is_neither_empty_nor_oversized() -> None:
    for count, encoded, reason in (
        (0, 0, "BATCH_EMPTY"),
        (50_001, 1, "BATCH_TOO_LARGE"),
        (1, 2**23 + 1, "BATCH_TOO_LARGE"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            validation.check_count("rows.writes", count, encoded)
        assert (refused.value.code, refused.value.field) == (reason, "rows.writes")
    validation.check_count("rows.writes", 50_000, 2**23)


def test_a_small_message_of_large_dictionaries_may_not_grow_beyond_64_mib() -> None:
    n = 50_000
    large = pb2.ColumnBatch(
        entity_keys=["e" * 65_000],
        attribute_keys=["x"],
        entity_indexes=[0] * n,
        attribute_indexes=[0] * n,
        event_times_us=list(range(n)),
        value_types=[VALUE_TYPE_BOOL] * n,
        bool_values=[True] * n,
    )
    with pytest.raises(InvalidRequest) as refused:
        checked(pb2.WriteAttributesRequest(columns=large))
    assert refused.value.code == "BATCH_TOO_LARGE"


@pytest.mark.parametrize("text", ["", "1", "urn:uuid:" + "0" * 27, "{" + "0" * 34 + "}", "0" * 36, "é" * 36])
def test_a_request_id_is_a_uuid_in_its_36_character_form(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validation.check_request_id(text)
    assert (refused.value.code, refused.value.field) == ("REQUEST_ID_MALFORMED", "request_id")


def test_an_ack_level_is_known_or_refused_and_unset_is_committed() -> None:
    assert [validation.check_ack_level(level) for level in pb2.AckLevel.values()] == [1, 1, 2, 3]
    with pytest.raises(InvalidRequest, match="99"):
        validation.check_ack_level(99)


def test_of_one_identity_the_last_good_item_is_stored() -> None:
    writes = [write(0), write(1), write(0), write(0)]
    writes[3].value.double_value = math.nan
    batch = checked_rows(*writes)
    assert batch.states.tolist() == [ItemState.SUPERSEDED, ItemState.STORED, ItemState.STORED, ItemState.REFUSED]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=40))
def test_exactly_one_item_of_each_identity_is_stored(identities: list[tuple[int, int, int]]) -> None:
    writes = []
    for entity, attribute, minute in identities:
        item = write(entity)
        item.attribute_key = f"a{attribute}"
        item.event_time.FromDatetime(NOW - timedelta(minutes=minute))
        writes.append(item)
    stored = checked_rows(*writes).stored().tolist()
    assert stored == sorted({identity: index for index, identity in enumerate(identities)}.values())


def test_a_text_that_is_not_utf8_refuses_its_item_only() -> None:
    octets = pb2.WriteAttributesRequest(
        request_id=str(uuid.uuid4()), rows=pb2.RowBatch(writes=[write(0), write(1), write(2)])
    ).SerializeToString()
    spoiled = octets.replace(b"disk-1", b"disk\xff1")
    request = Decoder(pb2.WriteAttributesRequest)(spoiled)
    assert isinstance(request, pb2.WriteAttributesRequest)
    assert_refused(checked(request), 1, "TEXT_NOT_UTF8", "rows.writes[1].entity_key")


def test_a_dictionary_entry_that_is_not_utf8_refuses_the_items_that_use_it() -> None:
    octets = pb2.WriteAttributesRequest(columns=columns()).SerializeToString().replace(b"Counter64", b"Count\xe9r64")
    request = Decoder(pb2.WriteAttributesRequest)(octets)
    assert isinstance(request, pb2.WriteAttributesRequest)
    assert_refused(checked(request), 1, "TEXT_NOT_UTF8", "columns.source_types[0]")


def test_octets_that_are_no_message_are_undecodable_and_raise_nothing() -> None:
    assert isinstance(Decoder(pb2.WriteAttributesRequest)(b"\xff\xff\xff"), Undecodable)


def test_the_digest_depends_on_tenant_and_items_and_on_nothing_else() -> None:
    request = pb2.WriteAttributesRequest(tenant_id=1, request_id="a", rows=pb2.RowBatch(writes=[write(0)]))
    digest = digest_of(request)
    request.request_id, request.ack_level = "b", pb2.ACK_LEVEL_COMMITTED
    assert digest_of(request) == digest
    request.tenant_id = 2
    assert digest_of(request) != digest


def test_an_answer_survives_its_encoding() -> None:
    writes = [write(0), write(0), write(1)]
    writes[2].value.double_value = math.inf
    answer = Answer.of(checked_rows(*writes), NOW)
    assert Answer.decode(answer.encode()) == answer
    assert [answer.count(state) for state in ItemState] == [1, 1, 1]
