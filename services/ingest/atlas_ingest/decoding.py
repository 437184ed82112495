"""Messages of the contract as drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from atlas.ingest.v1.ingest_service_pb2 import AttributeDelete, AttributeWrite, ColumnBatch, RowBatch
from atlaskit.batch import DELETED_AT_US, Column, Columns, Form, Integers, Part
from atlaskit.errors import InvalidRequest
from atlaskit.model import Deletion, EntityIdentity, Scalar, ValueType
from atlaskit.rpc.values import TYPE_OF
from numpy.typing import NDArray

from atlas_ingest.draft import MAX_ITEMS, Draft, Flaw
from atlas_ingest.packed import columns_of

# The types whose values fit an array; the others stay lists.
_ARRAYS: dict[ValueType, type[np.generic]] = {
    ValueType.INT64: np.int64,
    ValueType.UINT64: np.uint64,
    ValueType.DOUBLE: np.float64,
    ValueType.BOOL: np.bool_,
}
_ENTITY_FIELD = {EntityIdentity.KEYED: "entity_key", EntityIdentity.NUMBERED: "entity_id"}
_ENTITY_PART = {"entity_key": Part.ENTITY_KEY, "entity_id": Part.ENTITY_ID}

T = TypeVar("T", str, int)


def draft_of_columns(columns: ColumnBatch, identity: EntityIdentity) -> Draft:
    """Return the draft of columns. Raises InvalidRequest for one too long or a dictionary of the other kind."""
    keyed = identity is EntityIdentity.KEYED
    other = columns.entity_ids if keyed else columns.entity_keys
    if other:
        field = "columns.entity_ids" if keyed else "columns.entity_keys"
        raise InvalidRequest(field, f"must be empty: the tenant is {identity}", "IDENTITY_KIND_WRONG")
    _check_lengths(columns)
    numbers = columns_of(columns)
    entities = _integers(numbers["entity_indexes"])
    sources = _integers(numbers["source_type_indexes"])
    return Draft(
        form=Form.COLUMNS,
        entities=list(columns.entity_keys) if keyed else list(columns.entity_ids),
        attribute_keys=list(columns.attribute_keys),
        asset_types=list(columns.asset_types),
        source_types=list(columns.source_types),
        entity_indexes=entities,
        attribute_indexes=_integers(numbers["attribute_indexes"]),
        asset_type_indexes=_asset_type_indexes(columns.asset_types, entities),
        source_type_indexes=sources if len(sources) else np.zeros(len(entities), np.int64),
        event_times_us=_integers(numbers["event_times_us"]),
        value_types=_integers(numbers["value_types"]),
        values=_values_of(columns, numbers),
    )


def _values_of(columns: ColumnBatch, numbers: Mapping[str, NDArray[np.generic]]) -> Columns:
    arrays = {kind: numbers[f"{kind.name.lower()}_values"] for kind in _ARRAYS}
    texts: dict[ValueType, Column] = {
        ValueType.STRING: list(columns.string_values),
        ValueType.BYTES: list(columns.bytes_values),
    }
    return {kind: column for kind, column in {**arrays, **texts}.items() if len(column)}


def _integers(numbers: NDArray[np.generic]) -> Integers:
    return cast("Integers", numbers)


def _check_lengths(columns: ColumnBatch) -> None:
    # Before anything is made of them: eight megabytes hold millions of small numbers.
    for field, column in columns.ListFields():
        if len(column) > MAX_ITEMS:
            message = f"has {len(column)} elements; a batch has at most {MAX_ITEMS} items"
            raise InvalidRequest(f"columns.{field.name}", message, "COLUMN_TOO_LONG")


def _columns(values: Mapping[ValueType, Sequence[Any]]) -> Columns:
    return {kind: _column(kind, column) for kind, column in values.items() if column}


def _column(kind: ValueType, values: Sequence[Any]) -> Column:
    array = _ARRAYS.get(kind)
    return list(values) if array is None else np.fromiter(values, array, len(values))


def _asset_type_indexes(asset_types: Sequence[str], entities: Integers) -> Integers:
    # The dictionary runs along the entities', so its index is the entity's, from 1; what is empty is none.
    if not asset_types:
        return np.zeros(len(entities), np.int64)
    given = np.array([bool(text) for text in asset_types], np.bool_)
    usable = (entities >= 0) & (entities < len(given))
    indexes = np.zeros(len(entities), np.int64)
    indexes[usable] = np.where(given[entities[usable]], entities[usable] + 1, 0)
    return indexes


def draft_of_rows(rows: RowBatch, identity: EntityIdentity) -> Draft:
    """Return the draft of a batch in rows. Items without a part that they need carry a flaw."""
    return _RowReader(identity).read(rows)


def draft_of_deletes(deletes: Sequence[AttributeDelete], identity: EntityIdentity) -> Draft:
    """Return the draft of a batch of deletes. Items without a part that they need carry a flaw."""
    return _RowReader(identity).read_deletes(deletes)


class _Dictionary(dict[T, int]):
    """Gives each distinct value the next index."""

    def __missing__(self, value: T) -> int:
        self[value] = index = len(self)
        return index


class _RowReader:
    def __init__(self, identity: EntityIdentity) -> None:
        self._field = _ENTITY_FIELD[identity]
        self._identity = identity
        self._texts: _Dictionary[str] = _Dictionary()
        self._numbers: _Dictionary[int] = _Dictionary()
        self._attributes: _Dictionary[str] = _Dictionary()
        # Index 0 is none.
        self._assets: _Dictionary[str] = _Dictionary({"": 0})
        self._sources: _Dictionary[str] = _Dictionary({"": 0})
        self._values: dict[ValueType, list[Scalar]] = {kind: [] for kind in ValueType}
        self._flaws: dict[int, tuple[Part, Flaw]] = {}

    def read(self, rows: RowBatch) -> Draft:
        columns = np.array([self._row(item, write) for item, write in enumerate(rows.writes)], np.int64).reshape(-1, 6)
        keyed = self._identity is EntityIdentity.KEYED
        return Draft(
            form=Form.ROWS,
            entities=list(self._texts) if keyed else list(self._numbers),
            attribute_keys=list(self._attributes),
            asset_types=list(self._assets)[1:],
            source_types=list(self._sources)[1:],
            entity_indexes=columns[:, 0],
            attribute_indexes=columns[:, 1],
            asset_type_indexes=columns[:, 2],
            source_type_indexes=columns[:, 3],
            event_times_us=columns[:, 4],
            value_types=columns[:, 5],
            values=_columns(self._values),
            flaws=self._flaws,
        )

    def read_deletes(self, deletes: Sequence[AttributeDelete]) -> Draft:
        columns = np.array([self._delete(item, one) for item, one in enumerate(deletes)], np.int64).reshape(-1, 4)
        none = np.zeros(len(columns), np.int64)
        return Draft(
            form=Form.DELETES,
            entities=list(self._texts) if self._identity is EntityIdentity.KEYED else list(self._numbers),
            attribute_keys=list(self._attributes),
            asset_types=[],
            source_types=[],
            entity_indexes=columns[:, 0],
            attribute_indexes=columns[:, 1],
            asset_type_indexes=none,
            source_type_indexes=none,
            event_times_us=columns[:, 2],
            value_types=none,
            values={},
            deletions=columns[:, 3].astype(np.int8),
            flaws=self._flaws,
        )

    def _delete(self, item: int, delete: AttributeDelete) -> tuple[int, int, int, int]:
        deletion, time = Deletion.ATTRIBUTE if delete.attribute_key else Deletion.ENTITY, DELETED_AT_US
        if delete.HasField("event_time"):
            deletion, time = Deletion.OBSERVATION, self._time(item, delete)
            if not delete.attribute_key:
                message = "is not set; an observation is one of an attribute"
                self._flaw(item, Part.ATTRIBUTE_KEY, "ATTRIBUTE_KEY_MISSING", message)
        return self._entity(item, delete), self._attributes[delete.attribute_key], time, deletion

    def _row(self, item: int, write: AttributeWrite) -> tuple[int, int, int, int, int, int]:
        return (
            self._entity(item, write),
            self._attributes[write.attribute_key],
            self._assets[write.asset_type],
            self._sources[write.source_type],
            self._time(item, write),
            self._value(item, write),
        )

    def _flaw(self, item: int, part: Part, reason: str, message: str) -> None:
        self._flaws.setdefault(item, (part, Flaw(reason, message)))

    def _entity(self, item: int, write: AttributeWrite | AttributeDelete) -> int:
        given = write.WhichOneof("entity")
        if given is None:
            self._flaw(item, Part.ENTITY, "ENTITY_MISSING", f"names no entity; set {self._field}")
        elif given != self._field:
            message = f"the tenant is {self._identity}: name the entity by {self._field}"
            self._flaw(item, _ENTITY_PART[given], "IDENTITY_KIND_WRONG", message)
        if self._identity is EntityIdentity.KEYED:
            return self._texts[write.entity_key]
        return self._numbers[write.entity_id]

    def _time(self, item: int, write: AttributeWrite | AttributeDelete) -> int:
        if not write.HasField("event_time"):
            self._flaw(item, Part.EVENT_TIME, "EVENT_TIME_MISSING", "is not set")
            return 0
        time = write.event_time
        if not 0 <= time.nanos <= 999_999_999:
            self._flaw(item, Part.EVENT_TIME, "EVENT_TIME_OUT_OF_RANGE", "nanos must be 0 to 999999999")
        elif time.nanos % 1000:
            message = "is finer than a microsecond; round it, or it could not be read back as it was written"
            self._flaw(item, Part.EVENT_TIME, "EVENT_TIME_TOO_FINE", message)
        # Beyond any time that is accepted, and within what 64 bits of microseconds hold.
        seconds = min(max(time.seconds, -(10**12)), 10**12)
        return seconds * 1_000_000 + time.nanos // 1000

    def _value(self, item: int, write: AttributeWrite) -> int:
        given = write.value.WhichOneof("kind")
        if given is None:
            self._flaw(item, Part.VALUE, "VALUE_MISSING", "is not set; an empty string is a value, nothing is not")
            return 0
        kind = TYPE_OF[given]
        self._values[kind].append(getattr(write.value, given))
        return kind
