"""Rows of the history, as columns in the order of its index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from atlaskit.batch import Column, Columns, Integers, WriteBatch
from atlaskit.model import SHARD_COUNT, ValueType

TABLE = "entity_attributes"
MAX_KEY = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Numbered:
    """A batch with the ids of its dictionaries (0: none) and the row version of each of its items."""

    batch: WriteBatch
    attribute_ids: Integers
    asset_type_ids: Integers
    source_type_ids: Integers
    shards: Integers
    versions: Integers

    def shards_of_rows(self, rows: Integers) -> Integers:
        """Return the shard of each of these items."""
        return self.shards[self.batch.entity_indexes[rows]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the history of one transaction, as parallel columns; a row's value stands at its place in its type's."""

    values: Columns
    tenant_ids: Integers
    entity_ids: Integers
    attribute_ids: Integers
    shards: Integers
    value_types: Integers
    deletions: Integers
    event_times_us: Integers
    versions: Integers
    asset_type_ids: Integers  # 0: none
    source_type_ids: Integers  # 0: none
    places: Integers

    def __len__(self) -> int:
        return len(self.versions)


def shards_of_ids(tenant_id: int, spread: int, entity_ids: Integers) -> Integers:
    """Return what `model.shard_of` returns, for many entities at once."""
    mixed = entity_ids.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (tenant_id + (mixed % np.uint64(spread)).astype(np.int64)) % SHARD_COUNT


def rows_of(numbered: Sequence[Numbered]) -> Rows:
    """Return the stored items of the batches, sorted by tenant, entity, attribute and time: the order of the index.

    Items of one identity stay in the order of their delivery."""
    used: dict[ValueType, int] = {}
    parts = [_columns(one, one.batch.stored(), used) for one in numbered]
    tenants, entities, *others = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    attributes, times = others[0], others[4]
    # An entity's rank, and its attribute's number, fit one number: two columns to sort by, not four.
    owners = _ranks(tenants, entities) * (int(attributes.max(initial=0)) + 1) + attributes
    order = _order(owners, times)
    values = _values([one.batch.values for one in numbered])
    return Rows(values, *(column[order] for column in (tenants, entities, *others)))


def _order(owners: Integers, times: Integers) -> Integers:
    # Stable. Times that lie close together fit into the same number, and one column is sorted.
    if len(times) == 0:
        return np.zeros(0, np.int64)
    earliest = int(times.min())
    span = int(times.max()) - earliest + 1
    if (int(owners.max()) + 1) * span <= MAX_KEY:
        return np.argsort(owners * span + (times - earliest), kind="stable")
    return np.lexsort((times, owners))


def _ranks(tenants: Integers, entities: Integers) -> Integers:
    if len(tenants) == 0 or tenants[0] == tenants.max() == tenants.min():
        return np.unique(entities, return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((entities, tenants))
    steps = (np.diff(tenants[order]) != 0) | (np.diff(entities[order]) != 0)
    ranks = np.zeros(len(tenants), np.int64)
    ranks[order[1:]] = np.cumsum(steps)
    return ranks


def _columns(one: Numbered, rows: Integers, used: dict[ValueType, int]) -> tuple[Integers, ...]:
    batch = one.batch
    entities = batch.entity_indexes[rows]
    kinds = batch.value_types[rows].astype(np.int64)
    places = batch.value_places[rows]
    # The columns of the batches are laid end to end.
    for kind, column in batch.values.items():
        before = used.get(kind, 0)
        if before:
            places = np.where(kinds == kind, places + before, places)
        used[kind] = before + len(column)
    return (
        np.full(len(rows), batch.tenant.tenant_id, np.int64),
        batch.entity_ids[entities],
        one.attribute_ids[batch.attribute_indexes[rows]],
        one.shards[entities],
        kinds,
        batch.deletions[rows].astype(np.int64),
        batch.event_times_us[rows],
        one.versions[rows],
        one.asset_type_ids[rows],
        one.source_type_ids[batch.source_type_indexes[rows]],
        places,
    )


def _values(parts: Sequence[Columns]) -> Columns:
    gathered: dict[ValueType, list[Column]] = {}
    for part in parts:
        for kind, column in part.items():
            gathered.setdefault(kind, []).append(column)
    return {kind: _joined(columns) for kind, columns in gathered.items()}


def _joined(columns: Sequence[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    arrays: list[NDArray[np.generic]] = [column for column in columns if isinstance(column, np.ndarray)]
    return np.concatenate(arrays) if arrays else list(chain.from_iterable(columns))
