"""What searches and groupings have to answer, in plain Python: the model that every store must equal."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Any

from atlaskit.model import Deletion, TypedValue, ValueType
from atlaskit.selection.conditions import NUMBERS, Between, Compared, Exists, OneOf, Operator, StartsWith, Test
from atlaskit.selection.predicates import AllOf, AnyOf, Comparison, Not, OfAssetType, Predicate, SilentFor
from atlaskit.selection.searches import (
    Counted,
    EntitySearch,
    ExactSum,
    Function,
    FunctionKind,
    Grouping,
    GroupKind,
    GroupSearch,
    Key,
    Result,
)

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Row:
    """One stored row; `value` None: a delete."""

    tenant: int
    entity: int
    attribute: str
    at: datetime
    version: int
    value: TypedValue | None
    source_type: str = ""
    deletion: Deletion = Deletion.NONE


@dataclass(frozen=True)
class ModelEntity:
    """One entity."""

    tenant: int
    entity: int
    key: str
    asset_type: str
    deleted: bool = False


class Model:
    """All rows, and the answers that follow from them."""

    def __init__(self, entities: Sequence[ModelEntity], rows: Sequence[Row]) -> None:
        self.entities = {(one.tenant, one.entity): one for one in entities if not one.deleted}
        self.visible = self._visible(rows)

    def search(self, search: EntitySearch) -> list[int]:
        """Return the numbers of all entities that fulfil the search, in its order, as if there were no pages."""
        chosen = [e for e in self._of((search.tenant_id,)) if self._fulfils(e, search.predicate, search.as_of)]

        def order(one: ModelEntity, other: ModelEntity) -> int:
            return self._order(one, other, search)

        return [entity.entity for entity in sorted(chosen, key=cmp_to_key(order))]

    def groups(self, search: GroupSearch) -> dict[tuple[Key, ...], tuple[tuple[Result, ...], float]]:
        """Return the results of all groups by their keys, each with its greatest number regardless of its sign."""
        grouped: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
        as_of = None if search.end is None else search.end - MICROSECOND
        for row in self._observed(search):
            if self._fulfils(self.entities[row.tenant, row.entity], search.predicate, as_of):
                grouped[tuple(self._key(part, row, as_of) for part in search.group_by)].append(row)
        answer = {}
        for rows in grouped.values():
            keys = tuple(self._shown_key(part, rows, as_of) for part in search.group_by)
            numbers = [abs(row.value.value) for row in rows if row.value is not None and row.value.type in NUMBERS]  # type: ignore[arg-type]
            answer[keys] = (
                tuple(result(function, rows) for function in search.functions),
                float(max(numbers, default=0)),
            )
        return answer

    def _visible(self, rows: Sequence[Row]) -> list[Row]:
        newest: dict[tuple[Any, ...], Row] = {}
        hidden: defaultdict[tuple[Any, ...], int] = defaultdict(int)
        for row in sorted(rows, key=lambda row: row.version):
            if row.deletion in (Deletion.ATTRIBUTE, Deletion.ENTITY):
                hidden[row.tenant, row.entity, row.attribute if row.deletion is Deletion.ATTRIBUTE else None] = (
                    row.version
                )
            else:
                newest[row.tenant, row.entity, row.attribute, row.at] = row
        return [
            row
            for row in newest.values()
            if row.value is not None
            and (row.tenant, row.entity) in self.entities
            and row.version > hidden[row.tenant, row.entity, row.attribute]
            and row.version > hidden[row.tenant, row.entity, None]
        ]

    def _of(self, tenants: Iterable[int]) -> list[ModelEntity]:
        return [one for one in self.entities.values() if one.tenant in tenants]

    def _current(self, entity: ModelEntity, attribute: str, as_of: datetime | None) -> Row | None:
        return max(
            (row for row in self._rows_of(entity, as_of) if row.attribute == attribute),
            key=lambda row: row.at,
            default=None,
        )

    def _rows_of(self, entity: ModelEntity, as_of: datetime | None) -> list[Row]:
        return [
            row
            for row in self.visible
            if (row.tenant, row.entity) == (entity.tenant, entity.entity) and (as_of is None or row.at <= as_of)
        ]

    def _newest(self, rows: Iterable[Row]) -> datetime | None:
        return max((row.at for row in rows), default=None)

    def _fulfils(self, entity: ModelEntity, predicate: Predicate | None, as_of: datetime | None) -> bool:
        match predicate:
            case None:
                return True
            case AllOf(predicates=parts):
                return all(self._fulfils(entity, part, as_of) for part in parts)
            case AnyOf(predicates=parts):
                return any(self._fulfils(entity, part, as_of) for part in parts)
            case Not(predicate=inner):
                return not self._fulfils(entity, inner, as_of)
            case OfAssetType(asset_type=asset_type):
                return entity.asset_type == asset_type
            case SilentFor(duration=duration):
                newest = self._newest(self._rows_of(entity, as_of))
                every = (row for one in self._of((entity.tenant,)) for row in self._rows_of(one, None))
                reference = as_of if as_of is not None else self._newest(every)
                return newest is not None and reference is not None and newest <= reference - duration
            case Comparison(attribute=attribute, tests=tests, within=within):
                row = self._current(entity, attribute, as_of)
                if row is None or not any(passes(row.value, test) for test in tests):
                    return False
                newest = self._newest(self._rows_of(entity, as_of))
                return within is None or (newest is not None and row.at >= newest - within)

    def _order(self, one: ModelEntity, other: ModelEntity, search: EntitySearch) -> int:
        for order in search.order:
            if order.attribute is None:
                keys: list[Any] = [entity.key.encode() for entity in (one, other)]
                missing = [False, False]
            else:
                rows = [self._current(entity, order.attribute, search.as_of) for entity in (one, other)]
                missing = [row is None for row in rows]
                keys = [None if row is None else order_of(row.value, 512) for row in rows]
            if missing[0] != missing[1]:
                return 1 if missing[0] else -1
            if not missing[0] and keys[0] != keys[1]:
                less = keys[0] < keys[1]
                return -1 if less is not order.descending else 1
        return -1 if one.entity < other.entity else 1

    def _observed(self, search: GroupSearch) -> list[Row]:
        rows = [
            row
            for row in self.visible
            if row.tenant in search.tenant_ids
            and (row.attribute.startswith(search.attribute) if search.is_prefix else row.attribute == search.attribute)
            and (search.keys_after is None or row.attribute.encode() > search.keys_after.encode())
            and (search.start is None or row.at >= search.start)
            and (search.end is None or row.at < search.end)
        ]
        if search.latest:
            latest: dict[tuple[Any, ...], Row] = {}
            for row in sorted(rows, key=lambda row: row.at):
                latest[row.tenant, row.entity, row.attribute] = row
            rows = list(latest.values())
        return [
            row for row in rows if all(any(passes(row.value, test) for test in tests) for tests in search.conditions)
        ]

    def _key(self, part: Grouping, row: Row, as_of: datetime | None) -> Any:
        """Return what tells groups apart."""
        match part.kind:
            case GroupKind.ATTRIBUTE_VALUE:
                current = self._current(self.entities[row.tenant, row.entity], part.attribute, as_of)
                return None if current is None else order_of(current.value)
            case GroupKind.ASSET_TYPE:
                return self.entities[row.tenant, row.entity].asset_type or None
            case GroupKind.ENTITY:
                return row.entity
            case GroupKind.TENANT:
                return row.tenant
            case GroupKind.TIME_BUCKET:
                return FIRST + (row.at - FIRST) // part.width * part.width
            case GroupKind.CALENDAR_MONTH:
                return row.at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            case GroupKind.ATTRIBUTE:
                return row.attribute
            case GroupKind.SOURCE_TYPE:
                return row.source_type
            case GroupKind.VALUE_TYPE:
                assert row.value is not None
                return row.value.type

    def _shown_key(self, part: Grouping, rows: list[Row], as_of: datetime | None) -> Key:
        if part.kind is not GroupKind.ATTRIBUTE_VALUE:
            key: Key = self._key(part, rows[0], as_of)
            return key
        currents = [self._current(self.entities[row.tenant, row.entity], part.attribute, as_of) for row in rows]
        if currents[0] is None:
            return None
        return _of_least_type([current.value for current in currents])  # type: ignore[union-attr,misc]


def passes(value: TypedValue | None, test: Test) -> bool:
    """Tell whether a value passes a test."""
    assert value is not None
    match test:
        case Exists():
            return True
        case StartsWith(prefix=prefix):
            return value.type is ValueType.STRING and str(value.value).startswith(prefix)
        case Between(type=kind, low=low, high=high, outside=outside):
            return value.type is kind and (low <= value.value <= high) is not outside  # type: ignore[operator]
        case OneOf(type=kind, values=values):
            return value.type is kind and value.value in values
        case Compared(type=kind, operator=operator, operand=operand):
            return value.type is kind and compared(_comparable(value.value), operator, _comparable(operand))


def compared(left: Any, operator: Operator, right: Any) -> bool:
    """Compare two values of one kind."""
    functions: dict[Operator, Callable[[Any, Any], bool]] = {
        Operator.EQUAL: lambda a, b: a == b,
        Operator.NOT_EQUAL: lambda a, b: a != b,
        Operator.LESS: lambda a, b: a < b,
        Operator.LESS_OR_EQUAL: lambda a, b: a <= b,
        Operator.GREATER: lambda a, b: a > b,
        Operator.GREATER_OR_EQUAL: lambda a, b: a >= b,
    }
    return functions[operator](left, right)


def order_of(value: TypedValue | None, longest: int | None = None) -> tuple[Any, ...]:
    """Return what values are ordered and told apart by."""
    assert value is not None
    match value.type:
        case ValueType.STRING:
            return 2, str(value.value)[:longest].encode()
        case ValueType.BYTES:
            assert isinstance(value.value, bytes)
            return 3, value.value[:longest]
        case ValueType.BOOL:
            return 4, value.value
        case _:
            return 1, value.value


def result(function: Function, rows: list[Row]) -> Result:
    """Return the result of a function over a group of observations."""
    values = [row.value for row in rows if row.value is not None]
    numbers: list[Any] = sorted(value.value for value in values if value.type in NUMBERS)
    integers_only = all(value.type is not ValueType.DOUBLE for value in values)
    placed = sorted(rows, key=lambda row: (row.at, row.tenant, row.entity, row.attribute.encode()))
    match function.kind:
        case FunctionKind.COUNT:
            return len(rows)
        case FunctionKind.MIN | FunctionKind.MAX:
            return _extreme([value for value in values if value.type in NUMBERS], function.kind)
        case FunctionKind.SUM if numbers and integers_only:
            return ExactSum(sum(numbers))
        case FunctionKind.SUM:
            return _double(math.fsum(numbers)) if numbers else None
        case FunctionKind.AVERAGE:
            return (
                _double(sum(numbers) / len(numbers) if integers_only else math.fsum(numbers) / len(numbers))
                if numbers
                else None
            )
        case FunctionKind.PERCENTILE:
            return _percentile(numbers, function.fraction, integers_only=integers_only)
        case FunctionKind.DISTINCT:
            return len({order_of(value) for value in values})
        case FunctionKind.TOP:
            return _top(values, function.limit)
        case FunctionKind.STANDARD_DEVIATION:
            return _double(statistics.pstdev(map(float, numbers))) if numbers else None
        case FunctionKind.ENTITIES:
            return len({(row.tenant, row.entity) for row in rows})
        case FunctionKind.ATTRIBUTES:
            return len({row.attribute for row in rows})
        case FunctionKind.FIRST:
            return placed[0].value
        case FunctionKind.LAST:
            return placed[-1].value
        case FunctionKind.FIRST_TIME:
            return placed[0].at
        case FunctionKind.LAST_TIME:
            return placed[-1].at


def _percentile(numbers: list[Any], fraction: float, *, integers_only: bool) -> TypedValue | None:
    if not numbers:
        return None
    number = numbers[max(math.ceil(fraction * len(numbers)), 1) - 1]
    if not integers_only:
        return _double(float(number))
    return TypedValue(ValueType.INT64 if number < 2**63 else ValueType.UINT64, number)


def _extreme(values: list[TypedValue], kind: FunctionKind) -> TypedValue | None:
    if not values:
        return None
    chosen = (min if kind is FunctionKind.MIN else max)(value.value for value in values)
    return _of_least_type([value for value in values if value.value == chosen])


def _of_least_type(values: list[TypedValue]) -> TypedValue:
    return min(values, key=lambda value: value.type)


def _top(values: list[TypedValue], limit: int) -> tuple[Counted, ...]:
    alike: defaultdict[tuple[Any, ...], list[TypedValue]] = defaultdict(list)
    for value in values:
        alike[order_of(value)].append(value)
    counts = Counter({key: len(same) for key, same in alike.items()})
    ranked = sorted(counts, key=lambda key: (-counts[key], key))[:limit]
    return tuple(Counted(_of_least_type(alike[key]), counts[key]) for key in ranked)


def _double(number: float) -> TypedValue:
    return TypedValue(ValueType.DOUBLE, number)


def _comparable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value
