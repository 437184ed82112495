"""Columns of typed numbers from the fields of change events, exact to the bit, or a fault."""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Int64s: TypeAlias = npt.NDArray[np.int64]
Uint64s: TypeAlias = npt.NDArray[np.uint64]
Doubles: TypeAlias = npt.NDArray[np.float64]

_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class Undecodable(ValueError):
    """A field does not hold what its column says."""


def int64s(values: Iterable[Any]) -> Int64s:
    """Return the integers, null as 0. Raises Undecodable for a fraction, a text, or one beyond 64 bits."""
    try:
        return np.frombuffer(array("q", [0 if value is None else value for value in values]), dtype=np.int64)
    except (TypeError, OverflowError) as wrong:
        raise Undecodable(f"not a 64-bit integer: {wrong}") from None


def uint64s(values: Iterable[str | None]) -> Uint64s:
    """Return the unsigned integers written as decimal text, null as 0."""
    try:
        return np.frombuffer(array("Q", [0 if value is None else _decimal(value) for value in values]), dtype=np.uint64)
    except (TypeError, OverflowError, ValueError) as wrong:
        raise Undecodable(f"not an unsigned 64-bit integer: {wrong}") from None


def _decimal(text: str) -> int:
    if not (isinstance(text, str) and text.isascii() and text.isdigit()):
        raise ValueError(repr(text))
    return int(text)


def doubles(values: Iterable[Any]) -> Doubles:
    """Return the doubles, null as 0; the sign of zero and denormals are kept."""
    plain = [0.0 if value is None else _NOT_FINITE.get(value, value) for value in values]
    try:
        return np.frombuffer(array("d", plain), dtype=np.float64)
    except (TypeError, OverflowError) as wrong:
        raise Undecodable(f"not a double: {wrong}") from None


def microseconds(texts: Sequence[str]) -> Int64s:
    """Return microseconds since 1970 in UTC from times such as `2026-01-31T08:00:00.5Z`, with 0 to 6 decimals."""
    try:
        if not all(text.endswith("Z") for text in texts):
            raise Undecodable("a time is not in UTC")
        times = np.array([text[:-1] for text in texts], dtype="datetime64[us]")
    except (AttributeError, TypeError, ValueError) as wrong:
        raise Undecodable(f"not a time: {wrong}") from None
    if np.isnat(times).any():
        raise Undecodable("not a time: NaT")
    return times.astype(np.int64)


def texts(values: Iterable[Any]) -> list[str]:
    """Return the texts, null as the empty one."""
    plain = ["" if value is None else value for value in values]
    if any(value.__class__ is not str for value in plain):
        raise Undecodable("not a text")
    return plain


def blobs(values: Iterable[str | None]) -> list[bytes]:
    """Return the bytes that stand as base64, null as the empty ones."""
    try:
        return [b"" if not value else b64decode(value, validate=True) for value in values]
    except (TypeError, ValueError) as wrong:
        raise Undecodable(f"not base64: {wrong}") from None


def booleans(values: Iterable[Any]) -> list[bool]:
    """Return the booleans, null as False."""
    plain = [False if value is None else value for value in values]
    if any(value.__class__ is not bool for value in plain):
        raise Undecodable("not a boolean")
    return plain
