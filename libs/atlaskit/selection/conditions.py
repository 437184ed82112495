"""Conditions on one value, brought into a form that a store compares within one type, without rounding.

Numbers of different types compare by value. A store would cast one of them and round; so the operand is turned into the
interval of values of each numeric type that fulfil the condition, and both bounds are of that type. Kinds (numbers,
text, octets, truth values) never compare with each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from atlaskit.model import Scalar, TypedValue, ValueType

NUMBERS: Final = (ValueType.INT64, ValueType.UINT64, ValueType.DOUBLE)
_DOMAIN: Final = {ValueType.INT64: (-(2**63), 2**63 - 1), ValueType.UINT64: (0, 2**64 - 1)}
_NONE_OF: Final = {ValueType.INT64: (1, 0), ValueType.UINT64: (1, 0), ValueType.DOUBLE: (1.0, 0.0)}


class Operator(StrEnum):
    """How a value is compared; the text is what both dialects write for the first six."""

    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IN = "in"
    STARTS_WITH = "starts with"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Between:
    """A number of this type from `low` to `high`, both included; with `outside`, one that is not. Empty: low > high."""

    type: ValueType
    low: int | float
    high: int | float
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """Text, octets or a truth value against one operand; text and octets by their bytes, false below true."""

    type: ValueType
    operator: Operator
    operand: Scalar


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value of this type that is one of these."""

    type: ValueType
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class StartsWith:
    """Text that begins so."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Exists:
    """Any value."""


Test: TypeAlias = Between | Compared | OneOf | StartsWith | Exists


def passing_tests(operator: Operator, operands: Sequence[TypedValue]) -> tuple[Test, ...]:
    """Return tests of which a value that fulfils the condition passes at least one, and no other value any.

    IN takes any number of operands, EXISTS none, STARTS_WITH one text, the others one operand of any type.
    """
    match operator:
        case Operator.EXISTS:
            return (Exists(),)
        case Operator.IN:
            return _one_of(operands)
        case Operator.STARTS_WITH:
            assert isinstance(operands[0].value, str)
            return (StartsWith(operands[0].value),)
        case _:
            return _compared(operator, operands[0])


def _compared(operator: Operator, operand: TypedValue) -> tuple[Test, ...]:
    if operand.type not in NUMBERS:
        return (Compared(operand.type, operator, operand.value),)
    assert isinstance(operand.value, int | float)
    outside = operator is Operator.NOT_EQUAL
    inside = Operator.EQUAL if outside else operator
    return tuple(Between(kind, *interval(kind, inside, operand.value), outside) for kind in NUMBERS)


def _one_of(operands: Sequence[TypedValue]) -> tuple[Test, ...]:
    tests: list[Test] = []
    numbers = [operand.value for operand in operands if operand.type in NUMBERS]
    if numbers:
        for kind in NUMBERS:
            bounds = [interval(kind, Operator.EQUAL, number) for number in numbers]  # type: ignore[arg-type]
            tests.append(OneOf(kind, tuple(low for low, high in bounds if low == high)))
    for kind in (ValueType.BOOL, ValueType.STRING, ValueType.BYTES):
        values = tuple(operand.value for operand in operands if operand.type is kind)
        if values:
            tests.append(OneOf(kind, values))
    return tuple(tests)


def interval(kind: ValueType, operator: Operator, number: int | float) -> tuple[int | float, int | float]:
    """Return the least and the greatest value of a numeric type for which `value operator number` holds.

    For EQUAL and the four orders. Low above high: there is none.
    """
    if kind is ValueType.DOUBLE:
        return _doubles(operator, number)
    least, greatest = _DOMAIN[kind]
    low, high = _integers(operator, number)
    low, high = max(low, least), min(high, greatest)
    return (low, high) if low <= high else _NONE_OF[kind]


def _integers(operator: Operator, number: int | float) -> tuple[int | float, int | float]:
    match operator:
        case Operator.LESS:
            return -math.inf, math.ceil(number) - 1
        case Operator.LESS_OR_EQUAL:
            return -math.inf, math.floor(number)
        case Operator.GREATER:
            return math.floor(number) + 1, math.inf
        case Operator.GREATER_OR_EQUAL:
            return math.ceil(number), math.inf
        case _:
            return math.ceil(number), math.floor(number)


def _doubles(operator: Operator, number: int | float) -> tuple[float, float]:
    # Python compares int and float by value; `near` is one of the two doubles around the number, or the number itself.
    near = float(number)
    match operator:
        case Operator.LESS:
            return -math.inf, near if near < number else math.nextafter(near, -math.inf)
        case Operator.LESS_OR_EQUAL:
            return -math.inf, near if near <= number else math.nextafter(near, -math.inf)
        case Operator.GREATER:
            return near if near > number else math.nextafter(near, math.inf), math.inf
        case Operator.GREATER_OR_EQUAL:
            return near if near >= number else math.nextafter(near, math.inf), math.inf
        case _:
            return (near, near) if near == number else (1.0, 0.0)
