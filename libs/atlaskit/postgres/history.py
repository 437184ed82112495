"""Rows of the history as COPY takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaskit.batch import EPOCH, Integers, WriteBatch
from atlaskit.model import ValueType

TABLE = "entity_attributes"
_KEY_COLUMNS = ("tenant_id", "entity_id", "attribute_id", "shard", "value_type", "event_time", "row_version")
_VALUE_COLUMNS = {
    ValueType.INT64: "value_int",
    ValueType.UINT64: "value_uint",
    ValueType.DOUBLE: "value_double",
    ValueType.BOOL: "value_bool",
    ValueType.STRING: "value_text",
    ValueType.BYTES: "value_bytes",
}


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
    """Rows of the history of one transaction, as parallel columns."""

    keys: tuple[Integers, ...]  # tenant, entity, attribute, shard, type, time, version, asset type, source type
    values: NDArray[np.object_]

    @property
    def shards(self) -> Integers:
        """Return the shard of each row."""
        return self.keys[3]

    @property
    def versions(self) -> Integers:
        """Return the version of each row."""
        return self.keys[6]


def rows_of(numbered: Sequence[Numbered]) -> Rows:
    """Return the stored items of the batches, sorted by tenant, entity, attribute and time: the order of the index."""
    parts = [_columns(one, one.batch.stored()) for one in numbered]
    keys = [np.concatenate(columns) for columns in zip(*(part.keys for part in parts), strict=True)]
    values = np.concatenate([part.values for part in parts])
    order = np.lexsort((keys[5], keys[2], keys[1], keys[0]))
    return Rows(tuple(column[order] for column in keys), values[order])


def _columns(one: Numbered, rows: Integers) -> Rows:
    batch = one.batch
    entities = batch.entity_indexes[rows]
    keys = (
        np.full(len(rows), batch.tenant.tenant_id, np.int64),
        batch.entity_ids[entities],
        one.attribute_ids[batch.attribute_indexes[rows]],
        one.shards[entities],
        batch.value_types[rows].astype(np.int64),
        batch.event_times_us[rows],
        one.versions[rows],
        one.asset_type_ids[rows],
        one.source_type_ids[batch.source_type_indexes[rows]],
    )
    return Rows(keys, batch.values[rows])


def copy_records(rows: Rows) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns to fill and the records. A column that no row fills is left out."""
    tenant, entity, attribute, shard, kinds, time, version, asset, source = rows.keys
    filled: dict[str, Sequence[Any]] = dict(
        zip(_KEY_COLUMNS, (c.tolist() for c in (tenant, entity, attribute, shard, kinds, time, version)), strict=True)
    )
    filled["event_time"] = [EPOCH + timedelta(microseconds=instant) for instant in filled["event_time"]]
    for name, ids in (("asset_type_id", asset), ("source_type_id", source)):
        if ids.any():
            filled[name] = [number or None for number in ids.tolist()]
    for kind in np.unique(kinds).tolist():
        filled[_VALUE_COLUMNS[ValueType(kind)]] = _values(ValueType(kind), kinds, rows.values)
    return list(filled), list(zip(*filled.values(), strict=True))


def _values(kind: ValueType, kinds: Integers, values: NDArray[np.object_]) -> Sequence[Any]:
    column = np.full(len(values), None, np.object_)
    column[kinds == kind] = values[kinds == kind]
    found: list[Any] = column.tolist()
    if kind is ValueType.UINT64:
        return [None if value is None else Decimal(value) for value in found]
    return found
