"""Typed values and instants, between Python and the contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import assert_never

from atlas.ingest.v1.value_pb2 import AttributeValue
from google.protobuf.timestamp_pb2 import Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class ValueType(IntEnum):
    """Type of one value; the numbers are those of the contract."""

    INT64 = 1
    UINT64 = 2
    DOUBLE = 3
    BOOL = 4
    STRING = 5
    BYTES = 6


class Uint64(int):
    """An integer that is to be stored as UINT64 though it would fit an INT64; how every UINT64 is read back."""


# bool stands before int, since a bool is an int.
Scalar = bool | int | float | str | bytes

INTEGER_LIMITS = {ValueType.INT64: (-(2**63), 2**63 - 1), ValueType.UINT64: (0, 2**64 - 1)}


def type_of(value: Scalar) -> ValueType:
    """Return the type that a Python value is written with.

    An `int` is INT64, or UINT64 when it is a `Uint64` or above the greatest INT64. Raises TypeError for other types.
    """
    match value:
        case bool():
            return ValueType.BOOL
        case Uint64():
            return ValueType.UINT64
        case int():
            return ValueType.INT64 if value <= INTEGER_LIMITS[ValueType.INT64][1] else ValueType.UINT64
        case float():
            return ValueType.DOUBLE
        case str():
            return ValueType.STRING
        case bytes():
            return ValueType.BYTES
        case _:
            raise TypeError(f"no type of value for {type(value).__name__}; pass bool, int, float, str or bytes")


def check(value: Scalar, kind: ValueType) -> None:
    """Raise ValueError if an integer does not fit its type; what else may be wrong the service tells of each item."""
    limits = INTEGER_LIMITS.get(kind)
    if limits is not None and not limits[0] <= int(value) <= limits[1]:
        raise ValueError(f"{value!r} is no {kind.name}: that is {limits[0]} to {limits[1]}")


def to_message(value: Scalar, kind: ValueType | None = None) -> AttributeValue:
    """Return the value as the contract's message. Raises ValueError if it does not fit its type."""
    kind = type_of(value) if kind is None else kind
    check(value, kind)
    return AttributeValue(**{f"{kind.name.lower()}_value": value})  # type: ignore[arg-type]  # the name chooses the type


def from_message(message: AttributeValue) -> Scalar | None:
    """Return the value of a message, UINT64 as `Uint64`; None for a kind that this release does not know."""
    kind = message.WhichOneof("kind")
    match kind:
        case None:
            return None
        case "uint64_value":
            return Uint64(message.uint64_value)
        case "int64_value" | "double_value" | "bool_value" | "string_value" | "bytes_value":
            value: Scalar = getattr(message, kind)
            return value
        case _:
            assert_never(kind)


def microseconds(instant: datetime | int) -> int:
    """Return microseconds since 1970 in UTC; an `int` is that already. Raises ValueError for a time without a zone."""
    if isinstance(instant, int):
        return instant
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; say which it is, such as UTC")
    return (instant - EPOCH) // MICROSECOND


def instant_of(message: Timestamp) -> datetime:
    """Return the instant of a message, in UTC, microseconds."""
    return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def timestamp(instant: datetime | int | None) -> Timestamp | None:
    """Return an instant as the contract's message; None stays None."""
    if instant is None:
        return None
    seconds, rest = divmod(microseconds(instant), 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
