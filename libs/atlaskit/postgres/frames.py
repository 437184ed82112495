"""Rows of the history as the octets of a binary COPY, made by column.

Rows of one type with the same ids set have one layout: a record of fixed width. So a layout is filled column by column,
and no value is touched from Python, except texts and octets, whose width is their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from atlaskit.batch import Column, Integers
from atlaskit.model import ValueType
from atlaskit.postgres.history import Rows

Octets: TypeAlias = NDArray[np.void]

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = -1
# PostgreSQL counts timestamps from the year 2000.
_TIMES_FROM_US = 946_684_800_000_000
_KEY = {
    "tenant_id": ">i4",
    "entity_id": ">i8",
    "attribute_id": ">i4",
    "shard": ">i2",
    "value_type": ">i2",
    "event_time": ">i8",
    "row_version": ">i8",
}
_OPTIONAL = {"deletion": ">i2", "asset_type_id": ">i4", "source_type_id": ">i4"}
# The texts and octets come last: only what is last can have a width of its own.
_VALUE = {
    ValueType.INT64: ("value_int", ">i8"),
    ValueType.UINT64: ("value_uint", "V18"),
    ValueType.DOUBLE: ("value_double", ">f8"),
    ValueType.BOOL: ("value_bool", "?"),
    ValueType.STRING: ("value_text", None),
    ValueType.BYTES: ("value_bytes", None),
}
# A numeric: digits to the base of 10000, the weight of the first, sign, digits after the point. PostgreSQL drops zeros.
_NUMERIC = np.dtype([("count", ">i2"), ("weight", ">i2"), ("sign", ">i2"), ("scale", ">i2"), ("digits", ">i2", 5)])


class Layout(NamedTuple):
    """A field for each column, null where the rows have none. `tail` follows a value of its own width."""

    dtype: np.dtype[np.void]
    template: bytes
    tail: bytes


class _Group(NamedTuple):
    """Rows of one layout: which, of what type (0: a delete), and the optional columns that they fill."""

    items: Integers
    kind: int
    filled: tuple[str, ...]


class _Part(NamedTuple):
    """Rows of one layout as records; with `payloads`, each goes on with octets of its own."""

    records: Octets
    payloads: list[bytes] | None


class Frame(NamedTuple):
    """A binary COPY: the columns that it fills, and its octets."""

    columns: Sequence[str]
    octets: bytes


def frame_of(rows: Rows) -> Frame:
    """Return the rows as a binary COPY, layout after layout. A column that no row fills is left out."""
    given = _given(rows)
    optional = tuple(name for name in _OPTIONAL if given[name].any())
    kinds = tuple(kind for kind in ValueType if (rows.value_types == kind).any())
    columns = (*_KEY, *optional, *(_VALUE[kind][0] for kind in kinds))
    pieces = [piece for group in _groups(rows, optional) for piece in _pieces(_part(rows, given, group, columns))]
    return Frame(columns, b"".join((_HEADER, *pieces, _TRAILER)))


def _groups(rows: Rows, optional: Sequence[str]) -> Iterator[_Group]:
    asset, source = (rows.asset_type_ids > 0), (rows.source_type_ids > 0)
    codes = rows.value_types * 4 + asset * 2 + source
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        kind = code // 4
        null = {"asset_type_id": not code & 2, "source_type_id": not code & 1}
        filled = tuple(name for name in optional if not null.get(name, False))
        yield _Group(np.flatnonzero(codes == code), kind, filled)


def _given(rows: Rows) -> dict[str, Integers]:
    # What every row has of the columns that are not its value; 0 is null in an optional one.
    return {
        "tenant_id": rows.tenant_ids,
        "entity_id": rows.entity_ids,
        "attribute_id": rows.attribute_ids,
        "shard": rows.shards,
        "value_type": rows.value_types,
        "event_time": rows.event_times_us,
        "row_version": rows.versions,
        "deletion": rows.deletions,
        "asset_type_id": rows.asset_type_ids,
        "source_type_id": rows.source_type_ids,
    }


def _part(rows: Rows, given: dict[str, Integers], group: _Group, columns: tuple[str, ...]) -> _Part:
    items, kind, filled = group
    layout = _layout(columns, filled, kind)
    records = np.frombuffer(bytearray(layout.template * len(items)), layout.dtype)
    for name in (*_KEY, *filled):
        records[name] = given[name][items]
    records["event_time"] -= _TIMES_FROM_US
    if not kind:
        return _Part(records, None)
    name, form = _VALUE[ValueType(kind)]
    column, places = rows.values[ValueType(kind)], rows.places[items]
    if form is not None:
        records[name] = _fixed(ValueType(kind), column, places)
        return _Part(records, None)
    payloads = _payloads(column, places.tolist(), layout.tail)
    records[f"{name} length"] = np.fromiter(map(len, payloads), np.int64, len(payloads)) - len(layout.tail)
    return _Part(records, payloads)


def _fixed(kind: ValueType, column: Column, places: Integers) -> NDArray[Any]:
    assert isinstance(column, np.ndarray)
    taken = column[places]
    return numerics_of(taken) if kind is ValueType.UINT64 else taken


def numerics_of(numbers: NDArray[Any]) -> Octets:
    """Return the numbers (uint64) as PostgreSQL's numeric."""
    records = np.zeros(len(numbers), _NUMERIC)
    records["count"], records["weight"] = 5, 4
    base = np.uint64(10_000)
    left = numbers.astype(np.uint64)
    for place in reversed(range(5)):
        records["digits"][:, place] = left % base
        left //= base
    return records.view("V18")


def _payloads(column: Column, places: Sequence[int], tail: bytes) -> list[bytes]:
    taken: list[Any] = [column[place] for place in places]
    octets = [value.encode() if isinstance(value, str) else value for value in taken]
    return [value + tail for value in octets] if tail else octets


def _pieces(part: _Part) -> list[bytes]:
    octets, width = part.records.tobytes(), part.records.dtype.itemsize
    if part.payloads is None:
        return [octets]
    heads = (octets[at : at + width] for at in range(0, len(octets), width))
    return list(chain.from_iterable(zip(heads, part.payloads, strict=True)))


@lru_cache(maxsize=512)
def _layout(columns: tuple[str, ...], filled: tuple[str, ...], kind: int) -> Layout:
    forms = {**_KEY, **{name: _OPTIONAL[name] for name in filled}}
    own = _VALUE[ValueType(kind)] if kind else ("", None)
    if own[1]:
        forms[own[0]] = own[1]
    fields: list[tuple[str, str]] = [("columns", ">i2")]
    lengths: dict[str, int] = {"columns": len(columns)}
    tail = b""
    for place, name in enumerate(columns):
        length = f"{name} length"
        fields.append((length, ">i4"))
        lengths[length] = np.dtype(forms[name]).itemsize if name in forms else _NULL
        if name in forms:
            fields.append((name, forms[name]))
        elif name == own[0]:
            tail = b"\xff" * 4 * (len(columns) - place - 1)
            break
    dtype = np.dtype(fields)
    template = np.zeros(1, dtype)
    for name, value in lengths.items():
        template[name] = value
    return Layout(dtype, template.tobytes(), tail)
