"""Texts of statements whose shape a caller chooses. Values are parameters without exception.

A value stands in a tuple: its type (0: there is none), then the six value columns in the order of their types.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from atlaskit.model import Scalar, ValueType
from atlaskit.selection.conditions import Between, Compared, Exists, OneOf, Operator, StartsWith, Test

FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What a DateTime64(6) of the tables can be compared with.
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2299, 12, 31, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
VALUE: Final = (
    "tuple(toInt8(attribute_type), value_int64, value_uint64, value_double, value_bool, value_string, value_bytes)"
)
MICROSECONDS: Final = "toUnixTimestamp64Micro(event_timestamp)"


class Parameters:
    """The values of one statement, by name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, value: Any, sql_type: str) -> str:
        """Return the text that stands for a value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{sql_type}}}"

    def scalar(self, kind: ValueType, value: Scalar) -> str:
        """Return the text of one value, exactly as it is: doubles by their bits, text and octets in hexadecimal."""
        match kind:
            case ValueType.INT64 | ValueType.UINT64:
                return self.add(value, "UInt64" if kind is ValueType.UINT64 else "Int64")
            case ValueType.DOUBLE:
                return f"reinterpretAsFloat64({self.add(_bits(value), 'UInt64')})"
            case ValueType.BOOL:
                return f"({self.add(int(value), 'UInt8')} = 1)"
            case _:
                return self.octets(value)

    def scalars(self, kind: ValueType, values: Sequence[Scalar]) -> str:
        """Return the text of an array of values."""
        match kind:
            case ValueType.INT64 | ValueType.UINT64:
                return self.add(list(values), f"Array({'UInt64' if kind is ValueType.UINT64 else 'Int64'})")
            case ValueType.DOUBLE:
                return (
                    f"arrayMap(x -> reinterpretAsFloat64(x), {self.add([_bits(v) for v in values], 'Array(UInt64)')})"
                )
            case ValueType.BOOL:
                return f"arrayMap(x -> x = 1, {self.add([int(v) for v in values], 'Array(UInt8)')})"
            case _:
                return f"arrayMap(x -> unhex(x), {self.add([_hex(v) for v in values], 'Array(String)')})"

    def octets(self, value: Scalar) -> str:
        """Return the text of a text or of octets."""
        return f"unhex({self.add(_hex(value), 'String')})"

    def instant(self, instant: datetime) -> str:
        """Return the text of an instant; what the tables cannot hold becomes the nearest that they can."""
        held = min(max(instant, _EARLIEST), _LATEST)
        return f"fromUnixTimestamp64Micro({self.add((held - FIRST) // _MICROSECOND, 'Int64')}, 'UTC')"

    def microseconds(self, duration: timedelta) -> str:
        """Return the text of a duration in microseconds."""
        return self.add(duration // _MICROSECOND, "Int64")


def passes(parameters: Parameters, value: str, test: Test) -> str:
    """Return whether a value passes; false if there is none."""
    match test:
        case Exists():
            return f"{value}.1 > 0"
        case StartsWith(prefix=prefix):
            return f"({value}.1 = 5 AND startsWith({value}.6, {parameters.octets(prefix)}))"
        case Between(type=kind, low=low, high=high, outside=outside):
            bounds = f"{parameters.scalar(kind, low)} AND {parameters.scalar(kind, high)}"
            return f"({value}.1 = {kind:d} AND {value}.{kind + 1} {'NOT ' if outside else ''}BETWEEN {bounds})"
        case OneOf(type=kind, values=values):
            return f"({value}.1 = {kind:d} AND has({parameters.scalars(kind, values)}, {value}.{kind + 1}))"
        case Compared(type=kind, operator=operator, operand=operand):
            assert operator not in (Operator.IN, Operator.STARTS_WITH, Operator.EXISTS)
            return f"({value}.1 = {kind:d} AND {value}.{kind + 1} {operator.value} {parameters.scalar(kind, operand)})"


def is_number(value: str) -> str:
    """Return whether a value is a number."""
    return f"{value}.1 IN (1, 2, 3)"


def number_order(value: str) -> list[str]:
    """Return two expressions that order numbers of all types exactly: the nearest double, and what it leaves over."""
    near = (
        f"multiIf({value}.1 = 1, toFloat64({value}.2), {value}.1 = 2, toFloat64({value}.3), {value}.1 = 3, {value}.4 + 0.,"
        f" {value}.1 = 4, toFloat64({value}.5), 0.)"
    )
    over = (
        f"multiIf({value}.1 = 1, toInt128({value}.2) - toInt128(toFloat64({value}.2)),"
        f" {value}.1 = 2, toInt128({value}.3) - toInt128(toFloat64({value}.3)), toInt128(0))"
    )
    return [near, over]


def value_order(value: str, longest: int | None = 512) -> list[str]:
    """Return expressions that order values of all types: rank, the two of numbers, text, octets in hexadecimal."""
    text, octets = f"{value}.6", f"{value}.7"
    if longest is not None:
        text, octets = f"substringUTF8({text}, 1, {longest})", f"substring({octets}, 1, {longest})"
    rank = f"multiIf({is_number(value)}, 1, {value}.1 = 5, 2, {value}.1 = 6, 3, {value}.1 = 4, 4, 0)"
    return [rank, *number_order(value), text, f"hex({octets})"]


def cursor_value(parameters: Parameters, sql_type: str, value: Any) -> str:
    """Return the text of a part of a cursor."""
    match sql_type:
        case "String":
            return parameters.octets(value)
        case "Float64":
            return parameters.scalar(ValueType.DOUBLE, value)
        case _:
            return parameters.add(value, sql_type)


def _bits(value: Scalar) -> int:
    bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return bits


def _hex(value: Scalar) -> str:
    assert isinstance(value, str | bytes)
    return (value.encode() if isinstance(value, str) else value).hex()
