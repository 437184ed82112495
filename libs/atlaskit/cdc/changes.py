"""Rows of captured tables as columns, decoded by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import orjson

from atlaskit.cdc.envelope import RowEvent
from atlaskit.cdc.fields import (
    Doubles,
    Int64s,
    Uint64s,
    Undecodable,
    blobs,
    booleans,
    doubles,
    int64s,
    microseconds,
    texts,
    uint64s,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HistoryColumns:
    """Rows of `entity_attributes`. Times are microseconds since 1970 in UTC; an id of 0 is none."""

    tenant_id: Int64s
    entity_id: Int64s
    attribute_id: Int64s
    shard: Int64s
    value_type: Int64s
    deletion: Int64s
    event_time: Int64s
    created_at: Int64s
    row_version: Int64s
    asset_type_id: Int64s
    source_type_id: Int64s
    value_int: Int64s
    value_uint: Uint64s
    value_double: Doubles
    value_bool: list[bool]
    value_text: list[str]
    value_bytes: list[bytes]


@dataclass(frozen=True, slots=True)
class EntityColumns:
    """Rows of `entities`; an asset type id of 0 is none, an empty key likewise."""

    tenant_id: Int64s
    entity_id: Int64s
    shard: Int64s
    entity_key: list[str]
    asset_type_id: Int64s
    created_at: Int64s
    updated_at: Int64s
    row_version: Int64s
    deleted: list[bool]


@dataclass(frozen=True, slots=True)
class HotColumns:
    """Rows of `entity_hot_attributes`, as they came: `payload` is the row as JSON, without the connector's fields."""

    tenant_id: Int64s
    entity_id: Int64s
    shard: Int64s
    row_version: Int64s
    change: Int64s
    payload: list[str]


@dataclass(frozen=True, slots=True)
class TermColumns:
    """Rows of a dictionary: the text of each id of a tenant."""

    tenant_id: Int64s
    term_id: Int64s
    text: list[str]
    row_version: Int64s


_HISTORY: tuple[tuple[str, Callable[[Sequence[Any]], Any]], ...] = (
    ("tenant_id", int64s),
    ("entity_id", int64s),
    ("attribute_id", int64s),
    ("shard", int64s),
    ("value_type", int64s),
    ("deletion", int64s),
    ("event_time", microseconds),
    ("created_at", microseconds),
    ("row_version", int64s),
    ("asset_type_id", int64s),
    ("source_type_id", int64s),
    ("value_int", int64s),
    ("value_uint", uint64s),
    ("value_double", doubles),
    ("value_bool", booleans),
    ("value_text", texts),
    ("value_bytes", blobs),
)
_ENTITY: tuple[tuple[str, Callable[[Sequence[Any]], Any]], ...] = (
    ("tenant_id", int64s),
    ("entity_id", int64s),
    ("shard", int64s),
    ("entity_key", texts),
    ("asset_type_id", int64s),
    ("created_at", microseconds),
    ("updated_at", microseconds),
    ("row_version", int64s),
    ("deleted", booleans),
)
_HOT = ("tenant_id", "entity_id", "shard", "row_version", "change")


def history_columns(rows: Sequence[RowEvent]) -> HistoryColumns:
    """Return the rows of `entity_attributes` as columns. Raises Undecodable if one of them cannot be."""
    return HistoryColumns(*_columns(rows, _HISTORY))


def entity_columns(rows: Sequence[RowEvent]) -> EntityColumns:
    """Return the rows of `entities` as columns. Raises Undecodable."""
    return EntityColumns(*_columns(rows, _ENTITY))


def hot_columns(rows: Sequence[RowEvent]) -> HotColumns:
    """Return the rows of `entity_hot_attributes` as columns. Raises Undecodable."""
    plan = [(name, int64s) for name in _HOT]
    tenant_id, entity_id, shard, row_version, change = _columns(rows, plan)
    return HotColumns(tenant_id, entity_id, shard, row_version, change, [_payload(row) for row in rows])


def term_columns(rows: Sequence[RowEvent], id_field: str, text_field: str) -> TermColumns:
    """Return the rows of a dictionary as columns. Raises Undecodable."""
    plan = (("tenant_id", int64s), (id_field, int64s), (text_field, texts), ("row_version", int64s))
    return TermColumns(*_columns(rows, plan))


def separated(rows: Sequence[RowEvent], decode: Callable[[Sequence[RowEvent]], T]) -> dict[int, str]:
    """Return why each row that cannot be decoded cannot be, by its place. For batches that were refused as a whole."""
    reasons: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            decode([row])
        except Undecodable as wrong:
            reasons[place] = str(wrong)
    return reasons


def _columns(rows: Sequence[RowEvent], plan: Sequence[tuple[str, Callable[[Sequence[Any]], Any]]]) -> list[Any]:
    try:
        fields = list(zip(*map(itemgetter(*(name for name, _ in plan)), rows), strict=True))
    except KeyError as missing:
        raise Undecodable(f"field {missing} is missing") from None
    filled = fields or [()] * len(plan)
    return [_named(name, decode, values) for (name, decode), values in zip(plan, filled, strict=True)]


def _named(name: str, decode: Callable[[Sequence[Any]], Any], values: Sequence[Any]) -> Any:
    try:
        return decode(values)
    except Undecodable as wrong:
        raise Undecodable(f"{name}: {wrong}") from None


def _payload(row: RowEvent) -> str:
    return orjson.dumps({name: value for name, value in row.items() if not name.startswith("__")}).decode()
