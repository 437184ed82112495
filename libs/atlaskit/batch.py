"""One batch of checked writes as columns, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from atlaskit.model import Tenant, ValueType
from atlaskit.position import Token

Integers: TypeAlias = NDArray[np.int64]
States: TypeAlias = NDArray[np.int8]
# Values of one type: an array of int64, uint64, float64 or bool, or a list of str or bytes.
Column: TypeAlias = NDArray[np.generic] | Sequence[str] | Sequence[bytes]
Columns: TypeAlias = Mapping[ValueType, Column]

FEW = 32  # indexes that are sorted faster one by one than as an array
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Where the deletes of an attribute or an entity stand: 1969-12-31T00:00:00Z, before any time that a value can have.
DELETED_AT_US = -86_400_000_000


class ItemState(IntEnum):
    """What became of one item; the numbers are those of the contract."""

    STORED = 1
    SUPERSEDED = 2
    REFUSED = 3


class Form(StrEnum):
    """How the items of a request were written; the paths of its fields depend on it."""

    ROWS = "rows"
    COLUMNS = "columns"
    DELETES = "deletes"


class Part(StrEnum):
    """A part of an item that can be refused."""

    ENTITY = "entity"
    ENTITY_KEY = "entity_key"
    ENTITY_ID = "entity_id"
    ASSET_TYPE = "asset_type"
    ATTRIBUTE_KEY = "attribute_key"
    SOURCE_TYPE = "source_type"
    EVENT_TIME = "event_time"
    VALUE = "value"
    DOUBLE = "value.double_value"
    STRING = "value.string_value"
    BYTES = "value.bytes_value"


_COLUMN_OF = {
    Part.ENTITY: "entity_indexes",
    Part.ENTITY_KEY: "entity_keys",
    Part.ENTITY_ID: "entity_ids",
    Part.ASSET_TYPE: "asset_types",
    Part.ATTRIBUTE_KEY: "attribute_keys",
    Part.SOURCE_TYPE: "source_types",
    Part.EVENT_TIME: "event_times_us",
    Part.VALUE: "value_types",
    Part.DOUBLE: "double_values",
    Part.STRING: "string_values",
    Part.BYTES: "bytes_values",
}


def path_of(form: Form, part: Part, item: int, place: int) -> str:
    """Return the path of a part of an item in its request; `place` is its index in the column it stands in."""
    if form is Form.COLUMNS:
        return f"columns.{_COLUMN_OF[part]}[{place}]"
    return f"{'rows.writes' if form is Form.ROWS else 'deletes'}[{item}].{part}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one item was not stored: its index in the request, a reason for machines, the field's path, a sentence."""

    index: int
    reason: str
    field: str
    message: str


def used(indexes: Integers) -> list[int]:
    """Return each index once, in order. They point into a dictionary of one request, so none is great."""
    if len(indexes) < FEW:
        return sorted(set(indexes.tolist()))
    return np.flatnonzero(np.bincount(indexes)).tolist()


def places_of(kinds: NDArray[np.integer[Any]], columns: Columns) -> Integers:
    """Return the place of each item's value in the column of its type, when the k-th of a type takes the k-th place."""
    places = np.zeros(len(kinds), np.int64)
    for kind, column in columns.items():
        if len(column) == len(kinds):
            return np.arange(len(kinds), dtype=np.int64)
        if len(column):
            places[kinds == kind] = np.arange(len(column), dtype=np.int64)
    return places


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """The items of one request as columns. Items that are refused or superseded stay in place; `states` tells.

    `entity_keys` and `entity_ids` are parallel (keys are empty where the tenant is numbered). Dictionaries of asset and
    source types are indexed from 1; 0 is none. `values` holds a column for each type in use; an item's value stands in
    the column of its `value_types`, at its `value_places`. `deletions` says what an item hides (0: it is a write); such
    an item has value type 0 and no value, an attribute delete `DELETED_AT_US` for its time, an entity delete also the
    empty attribute key.
    """

    tenant: Tenant
    request_id: UUID
    digest: bytes
    form: Form
    entity_keys: Sequence[str]
    entity_ids: Integers
    attribute_keys: Sequence[str]
    asset_types: Sequence[str]
    source_types: Sequence[str]
    entity_indexes: Integers
    attribute_indexes: Integers
    asset_type_indexes: Integers
    source_type_indexes: Integers
    event_times_us: Integers
    value_types: States
    values: Columns
    value_places: Integers
    deletions: States
    states: States
    refusals: list[Refusal]
    size_bytes: int
    traceparent: str = ""

    def stored(self) -> Integers:
        """Return the indexes of the items that are, or are to be, stored."""
        return np.flatnonzero(self.states == ItemState.STORED)

    @property
    def deletes(self) -> bool:
        """Return True if the items are deletes; a batch has writes or deletes, never both."""
        return self.form is Form.DELETES

    def copied(self) -> WriteBatch:
        """Return the batch with states and refusals of its own, so that an attempt to store it can be repeated."""
        return replace(self, states=self.states.copy(), refusals=list(self.refusals))

    def refuse(self, items: Integers, reason: str, part: Part, places: Integers, message: str) -> None:
        """Mark these items as refused, one refusal each."""
        self.states[items] = ItemState.REFUSED
        self.refusals.extend(
            Refusal(item, reason, path_of(self.form, part, item, place), message)
            for item, place in zip(items.tolist(), places.tolist(), strict=True)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch, as it is stored with its request and given again for a repeat.

    `states` is empty when every item was stored. `commit_time` is PostgreSQL's clock, informational."""

    item_count: int
    states: tuple[int, ...]
    refusals: tuple[Refusal, ...]
    commit_time: datetime

    @classmethod
    def of(cls, batch: WriteBatch, commit_time: datetime) -> Answer:
        """Return the answer to a batch as it stands at its commit."""
        every = bool((batch.states == ItemState.STORED).all())
        refusals = tuple(sorted(batch.refusals, key=lambda refusal: refusal.index))
        return cls(len(batch.states), () if every else tuple(batch.states.tolist()), refusals, commit_time)

    def count(self, state: ItemState) -> int:
        """Return the number of items in a state."""
        if not self.states:
            return self.item_count if state is ItemState.STORED else 0
        return self.states.count(state)

    def head(self) -> str:
        """Return the encoded answer up to its time: a comma, microseconds since 1970 and a bracket make it whole."""
        refusals = [[r.index, r.reason, r.field, r.message] for r in self.refusals]
        states = "".join(map(str, self.states))
        return json.dumps([self.item_count, states, refusals], separators=(",", ":"))[:-1]

    def encode(self) -> bytes:
        """Return the answer as bytes."""
        committed = (self.commit_time - EPOCH) // timedelta(microseconds=1)
        return f"{self.head()},{committed}]".encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Answer:
        """Return the answer that was encoded."""
        item_count, states, refusals, committed = json.loads(encoded)
        return cls(
            item_count,
            tuple(map(int, states)),
            tuple(Refusal(*refusal) for refusal in refusals),
            EPOCH + timedelta(microseconds=committed),
        )


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a batch that is committed, with a position that a later read can ask for (None: nothing stored)."""

    answer: Answer
    token: Token | None
    repeated: bool
