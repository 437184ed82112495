"""Questions about many entities, and what answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from atlaskit.model import EntityState, TypedValue, ValueType
from atlaskit.selection.conditions import Test
from atlaskit.selection.predicates import Predicate, attributes_of

# A place in an order, as the store that made it names it; only that store can go on from it.
Cursor: TypeAlias = tuple[int | float | str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """By the value of an attribute, or by the entity's key for None; entities without one come last.

    Numbers stand before text, octets, truth values; descending turns that round too. Text and octets are compared by
    their bytes, of which the first 512 characters or bytes count.
    """

    attribute: str | None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class EntitySearch:
    """Entities that fulfil a predicate, in an order, with values current at `as_of` (None: the newest).

    `after` is the cursor of the entity before the first one wanted; None: from the beginning.
    """

    tenant_id: int
    predicate: Predicate | None
    order: tuple[Order, ...]
    attributes: tuple[str, ...]
    as_of: datetime | None
    after: Cursor | None
    most: int


def deciding_attributes(search: EntitySearch) -> tuple[str, ...]:
    """Return the attributes whose values choose or order the entities of a search, each once, in order of first use."""
    ordered = (order.attribute for order in search.order if order.attribute is not None)
    return tuple(dict.fromkeys((*attributes_of(search.predicate), *ordered)))


@dataclass(frozen=True, slots=True)
class Found:
    """An entity with its place in the order."""

    state: EntityState
    cursor: Cursor


class FunctionKind(StrEnum):
    """What is computed over a group."""

    COUNT = "count"
    MIN = "min"
    MAX = "max"
    AVERAGE = "average"
    SUM = "sum"
    PERCENTILE = "percentile"
    DISTINCT = "distinct"
    TOP = "top"
    STANDARD_DEVIATION = "standard_deviation"
    ENTITIES = "entities"
    FIRST = "first"
    LAST = "last"
    FIRST_TIME = "first_time"
    LAST_TIME = "last_time"
    ATTRIBUTES = "attributes"


@dataclass(frozen=True, slots=True)
class Function:
    """One function: `fraction` of PERCENTILE (0 excluded, 1 included), `limit` of TOP (1 and up)."""

    kind: FunctionKind
    fraction: float = 1.0
    limit: int = 0


class GroupKind(StrEnum):
    """What a group has in common."""

    ATTRIBUTE_VALUE = "attribute_value"
    ASSET_TYPE = "asset_type"
    ENTITY = "entity"
    TENANT = "tenant"
    TIME_BUCKET = "time_bucket"
    CALENDAR_MONTH = "calendar_month"
    ATTRIBUTE = "attribute"
    SOURCE_TYPE = "source_type"
    VALUE_TYPE = "value_type"


@dataclass(frozen=True, slots=True)
class Grouping:
    """One part of a grouping: `attribute` of ATTRIBUTE_VALUE, `width` of TIME_BUCKET."""

    kind: GroupKind
    attribute: str = ""
    width: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class GroupSearch:
    """Functions over observations with start <= event time < end, by group.

    Of the attribute `attribute`, or of all whose keys begin with it if `is_prefix`. The predicate chooses entities by
    their values before `end`. `latest`: only the newest observation in the range of each entity and attribute. An
    observation counts if for each of the conditions it passes one of its tests. `keys_after`: only attributes above it.
    """

    tenant_ids: tuple[int, ...]
    attribute: str
    is_prefix: bool
    predicate: Predicate | None
    functions: tuple[Function, ...]
    group_by: tuple[Grouping, ...]
    conditions: tuple[tuple[Test, ...], ...]
    start: datetime | None
    end: datetime | None
    latest: bool
    after: Cursor | None
    most: int
    keys_after: str | None = None


@dataclass(frozen=True, slots=True)
class ExactSum:
    """The sum of integers."""

    sum: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A value and how often it occurs."""

    value: TypedValue
    count: int


Key: TypeAlias = TypedValue | ValueType | str | int | datetime | None
Result: TypeAlias = int | TypedValue | ExactSum | tuple[Counted, ...] | datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """A group: its keys as the grouping names them, its results as the functions do, its place among the groups."""

    keys: tuple[Key, ...]
    results: tuple[Result, ...]
    cursor: Cursor


def function_of(functions: Sequence[Function], kind: FunctionKind) -> bool:
    """Tell whether a function is among these."""
    return any(function.kind is kind for function in functions)
