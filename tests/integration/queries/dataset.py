"""A small set with what is hard: mixed types in one key, bounds of types, corrections, all kinds of deletes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache

from atlaskit.model import Deletion, TypedValue, ValueType
from doubles.value_model import ModelEntity, Row

TENANTS = (11, 12, 13)
NOON = datetime(2024, 5, 30, 12, tzinfo=UTC)
ERASURE = datetime(1969, 12, 31, tzinfo=UTC)
ATTRIBUTES = ("mixed", "number", "flag", "text", "rare", "a/b c:é\\'\"\n", "num")
ASSET_TYPES = ("", "disk", "pump")
SOURCES = ("", "Counter64", "OID")
INTEGERS = (0, 1, -1, 2, 3, 38, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**62 + 1, 2**63 - 1, -(2**63))
UNSIGNED = (0, 1, 3, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1)
DOUBLES = (0.0, -0.0, 1.0, 1.5, 3.0, 5e-324, -5e-324, 1e150, -1e150, 2.0**53, 2.0**62, 2.0**63, 2.0**64, 0.1, 38.0)
TEXTS = ("", "a", "A", "ab", "é", "ß", "日本", "a'b\"\\c\n\t", "x" * 600, "x" * 600 + "y", "{p0:String}", "$1")
OCTETS = (b"", b"\x00", b"\xff\xfe", b"a", b"ab", bytes(range(256)))


@cache
def dataset() -> tuple[tuple[ModelEntity, ...], tuple[Row, ...]]:
    """Return the entities and the rows, the same on every call."""
    choose = random.Random(20240530)
    entities = tuple(
        ModelEntity(tenant, number, f"key {choose.randrange(99)}-{number}", choose.choice(ASSET_TYPES), number == 9)
        for tenant in TENANTS
        for number in range(10)
    )
    rows: list[Row] = []
    for _ in range(900):
        one = choose.choice(entities)
        attribute = choose.choice(ATTRIBUTES)
        at = NOON - timedelta(hours=choose.randrange(900), microseconds=choose.randrange(2))
        rows.append(
            Row(one.tenant, one.entity, attribute, at, len(rows) + 2, _value(choose, attribute), choose.choice(SOURCES))
        )
        if choose.random() < 0.1:  # a correction, perhaps with another type
            rows.append(Row(one.tenant, one.entity, attribute, at, len(rows) + 2, _value(choose, attribute)))
        if choose.random() < 0.06:
            values = [row for row in rows if row.value is not None]
            rows.append(_delete(choose, choose.choice(values), len(rows) + 2))
    for one in entities:
        if one.deleted:
            rows.append(Row(one.tenant, one.entity, "", ERASURE, len(rows) + 2, None, deletion=Deletion.ENTITY))
    return entities, tuple(rows)


def _value(choose: random.Random, attribute: str) -> TypedValue:
    kinds = {
        "number": (ValueType.INT64, ValueType.UINT64, ValueType.DOUBLE),
        "num": (ValueType.INT64,),
        "flag": (ValueType.BOOL,),
        "text": (ValueType.STRING,),
    }
    return value_of(choose, choose.choice(kinds.get(attribute, tuple(ValueType))))


def value_of(choose: random.Random, kind: ValueType) -> TypedValue:
    """Return a value of the type, often one at a bound."""
    values = {
        ValueType.INT64: INTEGERS,
        ValueType.UINT64: UNSIGNED,
        ValueType.DOUBLE: DOUBLES,
        ValueType.BOOL: (False, True),
        ValueType.STRING: TEXTS,
        ValueType.BYTES: OCTETS,
    }
    return TypedValue(kind, choose.choice(values[kind]))


def _delete(choose: random.Random, row: Row, version: int) -> Row:
    kind = choose.choice((Deletion.OBSERVATION, Deletion.OBSERVATION, Deletion.ATTRIBUTE, Deletion.ENTITY))
    if kind is Deletion.OBSERVATION:
        return Row(row.tenant, row.entity, row.attribute, row.at, version, None, deletion=kind)
    return Row(
        row.tenant, row.entity, "" if kind is Deletion.ENTITY else row.attribute, ERASURE, version, None, deletion=kind
    )
