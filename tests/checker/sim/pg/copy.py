"""The octets of a binary COPY into the history, as rows."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from checker.sim.loop import SimulationError

_TIMES_FROM_US = 946_684_800_000_000
_INT = {2: struct.Struct(">h"), 4: struct.Struct(">i"), 8: struct.Struct(">q")}
_LENGTH = struct.Struct(">i")
_DOUBLE = struct.Struct(">d")
_ABSENT = {
    "deletion": 0,
    "asset_type_id": None,
    "source_type_id": None,
    "value_int": None,
    "value_uint": None,
    "value_double": None,
    "value_bool": None,
    "value_text": None,
    "value_bytes": None,
}


def history_rows(columns: Sequence[str], octets: bytes) -> list[dict[str, Any]]:
    """Return the rows; columns that COPY leaves out have their defaults."""
    at, rows, count = 19, [], len(columns)
    if octets[:11] != b"PGCOPY\n\xff\r\n\0":
        raise SimulationError("not a binary COPY")
    while octets[at : at + 2] != b"\xff\xff":
        if int.from_bytes(octets[at : at + 2], "big") != count:
            raise SimulationError("a row of COPY has another number of fields than columns")
        at += 2
        row = dict(_ABSENT)
        for name in columns:
            length = _LENGTH.unpack_from(octets, at)[0]
            at += 4
            if length >= 0:
                row[name] = _value(name, octets, at, length)
                at += length
        rows.append(row)
    return rows


def _value(name: str, octets: bytes, at: int, length: int) -> Any:
    if name == "value_text":
        return octets[at : at + length].decode()
    if name == "value_bytes":
        return octets[at : at + length]
    if name == "value_double":
        return _DOUBLE.unpack_from(octets, at)[0]
    if name == "value_bool":
        return octets[at] == 1
    if name == "value_uint":
        return _numeric(octets, at)
    number = _INT[length].unpack_from(octets, at)[0]
    return number + _TIMES_FROM_US if name == "event_time" else number


def _numeric(octets: bytes, at: int) -> int:
    count, weight = struct.unpack_from(">hh", octets, at)
    digits = struct.unpack_from(f">{count}h", octets, at + 8)
    return sum(int(digit) * 10_000 ** (weight - place) for place, digit in enumerate(digits))
