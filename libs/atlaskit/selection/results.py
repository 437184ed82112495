"""From what a store computed to results in the terms of the question, the same for every store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from atlaskit.figures import Figures
from atlaskit.model import TypedValue, ValueType
from atlaskit.selection.searches import (
    Counted,
    Cursor,
    ExactSum,
    Function,
    FunctionKind,
    Grouping,
    GroupKind,
    Key,
    Result,
)

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Functions that need the figures of numbers.
OF_NUMBERS: Final = frozenset({
    FunctionKind.MIN, FunctionKind.MAX, FunctionKind.AVERAGE, FunctionKind.SUM, FunctionKind.PERCENTILE,
})  # fmt: skip
# Names of the columns of figures, in the order of the fields of Figures from `count` on.
FIGURES: Final = (
    "count", "integers", "doubles", "min_int64", "max_int64", "min_uint64", "max_uint64", "min_double", "max_double",
    "integer_sum", "double_sum",
)  # fmt: skip


def results(functions: tuple[Function, ...], computed: Mapping[str, Any]) -> tuple[Result, ...]:
    """Return the results of the functions.

    `computed` holds, as far as the functions need them: `count`; the columns of FIGURES; `percentile_<place>`: int,
    float or None; `top`: Counted values, most frequent first; every other function under its own name, as it is told.
    """
    return tuple(_result(function, place, computed) for place, function in enumerate(functions))


def _result(function: Function, place: int, computed: Mapping[str, Any]) -> Result:
    match function.kind:
        case kind if kind in OF_NUMBERS and kind is not FunctionKind.PERCENTILE:
            return _of_numbers(kind, Figures(None, None, *(computed[name] for name in FIGURES)))
        case FunctionKind.PERCENTILE:
            return number_of(computed[f"percentile_{place}"])
        case FunctionKind.TOP:
            top: tuple[Counted, ...] = tuple(computed["top"])
            return top[: function.limit]
        case FunctionKind.STANDARD_DEVIATION:
            deviation = computed["standard_deviation"]
            return None if deviation is None else TypedValue(ValueType.DOUBLE, deviation)
        case kind:
            value: Result = computed[kind.value]
            return value


def _of_numbers(kind: FunctionKind, figures: Figures) -> Result:
    match kind:
        case FunctionKind.MIN:
            return figures.minimum()
        case FunctionKind.MAX:
            return figures.maximum()
        case FunctionKind.SUM if (exact := figures.exact_sum()) is not None:
            return ExactSum(exact)
        case FunctionKind.SUM:
            return number_of(figures.sum())
        case _:
            return number_of(figures.mean())


def number_of(number: int | float | None) -> TypedValue | None:
    """Return a number with the first type that holds it: INT64, UINT64, DOUBLE; of a float DOUBLE."""
    if number is None:
        return None
    if isinstance(number, float):
        return TypedValue(ValueType.DOUBLE, number)
    return TypedValue(ValueType.INT64 if number < 2**63 else ValueType.UINT64, number)


def key_of(kind: GroupKind, stored: Any) -> Key:
    """Return the key that a column of a group holds: instants in microseconds since 1970, types by number."""
    match kind:
        case GroupKind.TIME_BUCKET | GroupKind.CALENDAR_MONTH:
            return _FIRST + timedelta(microseconds=stored)
        case GroupKind.VALUE_TYPE:
            return ValueType(stored)
        case GroupKind.ASSET_TYPE:
            return str(stored) or None
        case _:
            key: Key = stored
            return key


def group_keys(
    group_by: Sequence[Grouping], row: Mapping[str, Any], width: int, value: Callable[..., TypedValue]
) -> tuple[tuple[Key, ...], Cursor]:
    """Return the keys of a group and its place, from the columns g0, g1 and on of a row.

    The value of an attribute takes `width` columns, its rank first (0: none); `value` makes it of its type, which
    stands in `k<part>_type`, and of the others.
    """
    keys: list[Key] = []
    cursor: list[int | float | str] = []
    for place, part in enumerate(group_by):
        if part.kind is GroupKind.ATTRIBUTE_VALUE:
            rank, *columns = (row[f"g{len(cursor) + step}"] for step in range(width))
            columns = [str(one) if isinstance(one, Decimal) else one for one in columns]
            cursor += [rank, *columns]
            keys.append(value(row[f"k{place}_type"], *columns) if rank else None)
        else:
            keys.append(key_of(part.kind, row[f"g{len(cursor)}"]))
            cursor.append(row[f"g{len(cursor)}"])
    return tuple(keys), tuple(cursor)
