"""Figures of one attribute over a group of observations, exact as long as the values are integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from atlaskit.model import TypedValue, ValueType


@dataclass(frozen=True, slots=True)
class Figures:
    """What a store computes over a group. Integers and doubles stay apart, so that nothing is rounded on the way.

    `entity_id` and `bucket` (start of the bucket) are None unless grouped by. Text, octets and truth values count as
    observations and are no numbers. A None among the extremes: the group has no value of that type.
    """

    entity_id: int | None = None
    bucket: datetime | None = None
    count: int = 0
    integers: int = 0
    doubles: int = 0
    min_int64: int | None = None
    max_int64: int | None = None
    min_uint64: int | None = None
    max_uint64: int | None = None
    min_double: float | None = None
    max_double: float | None = None
    integer_sum: int = 0
    double_sum: float = 0.0

    def minimum(self) -> TypedValue | None:
        """Return the least number with the type it was written in, or None: there is no number."""
        return min(self._typed(self.min_int64, self.min_uint64, self.min_double), key=_number, default=None)

    def maximum(self) -> TypedValue | None:
        """Return the greatest number with the type it was written in, or None: there is no number."""
        return max(self._typed(self.max_int64, self.max_uint64, self.max_double), key=_number, default=None)

    def exact_sum(self) -> int | None:
        """Return the sum of the integers, or None: there are none, or doubles are among the numbers."""
        return self.integer_sum if self.integers and not self.doubles else None

    def sum(self) -> float | None:
        """Return the sum of the numbers as a double, or None: there is no number."""
        return float(self.integer_sum) + self.double_sum if self.integers or self.doubles else None

    def mean(self) -> float | None:
        """Return the mean of the numbers, or None: there is no number. Of integers alone it is rounded only once."""
        if self.integers and not self.doubles:
            return self.integer_sum / self.integers
        total = self.sum()
        return None if total is None else total / (self.integers + self.doubles)

    @staticmethod
    def _typed(signed: int | None, unsigned: int | None, double: float | None) -> Sequence[TypedValue]:
        pairs = ((ValueType.INT64, signed), (ValueType.UINT64, unsigned), (ValueType.DOUBLE, double))
        return [TypedValue(kind, number) for kind, number in pairs if number is not None]


def _number(value: TypedValue) -> int | float:
    # Python compares int and float by value, without rounding either.
    assert isinstance(value.value, int | float)
    return value.value
