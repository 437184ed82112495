"""The fast form of a batch: dictionaries and packed columns, built row by row or from whole arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from atlas.ingest.v1 import value_pb2 as pb
from atlas.ingest.v1.ingest_service_pb2 import ColumnBatch

from atlas_client.frames import Frame, frame_of, table_of
from atlas_client.values import Scalar, Uint64, ValueType, check, microseconds, type_of

Entity = str | int

MAX_ITEMS = 50_000
MAX_BYTES = 7 * 1024 * 1024  # below the contract's 8 MiB, since the count is an estimate
ITEM_BYTES = 30  # of one item without its value's text: indexes, time, type, a number of 8 bytes

_KINDS: dict[str, tuple[ValueType, type[Any]]] = {
    "i": (ValueType.INT64, np.int64),
    "u": (ValueType.UINT64, np.uint64),
    "f": (ValueType.DOUBLE, np.float64),
    "b": (ValueType.BOOL, np.bool_),
}


@dataclass(frozen=True, slots=True)
class Write:
    """One observed value.

    `entity` is a key for keyed tenants and a number for numbered ones; `event_time` a datetime with a zone, or
    microseconds since 1970; `value_type` None takes the type of the Python value.
    """

    entity: Entity
    attribute: str
    value: Scalar
    event_time: datetime | int
    value_type: ValueType | None = None
    source_type: str = ""
    asset_type: str = ""


class ColumnBuilder:
    """Collects writes of one tenant until `full`, then `build`s the batch. A repeated text is sent once."""

    def __init__(self) -> None:
        self._entities: dict[Entity, int] = {}
        self._asset_types: dict[int, str] = {}
        self._attributes: dict[str, int] = {}
        self._source_types: dict[str, int] = {}
        self._bytes = 0
        self._columns = ColumnBatch()
        self._values: dict[int, Any] = {
            kind: getattr(self._columns, f"{kind.name.lower()}_values") for kind in ValueType
        }

    def __len__(self) -> int:
        return len(self._columns.value_types)

    @property
    def size_bytes(self) -> int:
        """Return about how many bytes the batch takes encoded."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Return True when the batch should be sent: its items or its estimated bytes are at the limit."""
        return len(self) >= MAX_ITEMS or self._bytes >= MAX_BYTES

    def add(
        self,
        entity: Entity,
        attribute: str,
        value: Scalar,
        event_time: datetime | int,
        *,
        value_type: int | None = None,
        source_type: str = "",
        asset_type: str = "",
    ) -> None:
        """Add one write; the arguments are those of `Write`.

        Raises ValueError for an integer out of range, a time without a zone or entities of both kinds, TypeError for a
        value of no type of the contract; nothing is added then. All else the service refuses, item by item.
        """
        kind = type_of(value) if value_type is None else ValueType(value_type)
        check(value, kind)
        time_us = microseconds(event_time)
        columns, place = self._columns, self._entity(entity, asset_type)
        self._values[kind].append(value)  # first, since it is what may yet be refused
        columns.entity_indexes.append(place)
        columns.attribute_indexes.append(self._place(self._attributes, attribute))
        columns.event_times_us.append(time_us)
        columns.value_types.append(cast("pb.ValueType.ValueType", kind.value))
        columns.source_type_indexes.append(self._source(source_type))
        self._bytes += ITEM_BYTES + (len(value) if isinstance(value, str | bytes) else 0)

    def add_rows(self, rows: Iterable[Write]) -> None:
        """Add each row."""
        for row in rows:
            self.add(
                row.entity,
                row.attribute,
                row.value,
                row.event_time,
                value_type=row.value_type,
                source_type=row.source_type,
                asset_type=row.asset_type,
            )

    def add_table(
        self,
        entities: Sequence[Entity] | npt.NDArray[Any],
        event_times_us: npt.ArrayLike,
        values: Mapping[str, npt.ArrayLike],
        *,
        asset_type: str = "",
    ) -> None:
        """Add a table: one row per entity and time, one column of numbers, bools, text or octets per attribute.

        Every cell is a value; a NaN is sent and refused by the service. Raises ValueError if lengths disagree, and
        TypeError for a column of mixed or other types; nothing is added then.
        """
        table = {name: _column(name, column, len(entities)) for name, column in values.items()}
        times = np.asarray(event_times_us, np.int64)
        if times.shape != (len(entities),):
            raise ValueError(f"event_times_us: {times.shape} for {len(entities)} entities")
        rows = [self._entity(entity, asset_type) for entity in _plain(entities)]
        for name, (kind, column) in table.items():
            self._extend(name, kind, np.array(rows, np.int64), times, column)

    def _extend(
        self,
        attribute: str,
        kind: ValueType,
        places: npt.NDArray[np.int64],
        times: npt.NDArray[np.int64],
        values: list[Any],
    ) -> None:
        count = len(places)
        if not count:
            return
        self._columns.entity_indexes.extend(places.tolist())
        self._columns.attribute_indexes.extend([self._place(self._attributes, attribute)] * count)
        self._columns.event_times_us.extend(times.tolist())
        self._columns.value_types.extend([cast("pb.ValueType.ValueType", kind.value)] * count)
        self._columns.source_type_indexes.extend([0] * count)
        self._values[kind].extend(values)
        self._bytes += ITEM_BYTES * count + (sum(map(len, values)) if kind >= ValueType.STRING else 0)

    def add_dicts(
        self, rows: Iterable[Mapping[str, Any]], *, entity: str, event_time: str, asset_type: str = ""
    ) -> None:
        """Add a dict for each entity and time; `entity` and `event_time` name two of its keys, others are attributes.

        None is no value. Raises what `add` raises, and KeyError for a row without one of the two keys; the rows before
        it stay."""
        for row in rows:
            for attribute, value in row.items():
                if attribute not in {entity, event_time} and value is not None:
                    self.add(row[entity], attribute, value, row[event_time], asset_type=asset_type)

    def add_frame(self, data: Any, *, entity: str, event_time: str, asset_type: str = "") -> None:
        """Add a pyarrow Table or RecordBatch, or a pandas DataFrame: a row for each entity and time.

        `entity` and `event_time` name two of its columns, the others are attributes. Nulls, and NaN in pandas, are no
        values. Times have a zone, or are microseconds since 1970. pyarrow must be installed. Raises ValueError or
        TypeError naming the column; nothing is added then. Of more than one batch: `batches_of_frame`."""
        self._add_frame(frame_of(table_of(data), entity, event_time), asset_type)

    def _add_frame(self, frame: Frame, asset_type: str) -> None:
        places = np.array([self._entity(one, asset_type) for one in frame.entities], np.int64)
        for column in frame.columns:
            self._extend(
                column.name, column.kind, places[column.rows], frame.event_times_us[column.rows], column.values
            )

    def build(self) -> ColumnBatch:
        """Return the batch, which is the caller's; the builder has done its work and takes no more."""
        columns = self._columns
        numbered = any(isinstance(entity, int) for entity in self._entities)
        (columns.entity_ids if numbered else columns.entity_keys).extend(self._entities)  # type: ignore[arg-type]
        columns.attribute_keys.extend(self._attributes)
        columns.source_types.extend(self._source_types)
        if self._asset_types:
            columns.asset_types.extend(self._asset_types.get(index, "") for index in range(len(self._entities)))
        if not self._source_types:
            del columns.source_type_indexes[:]
        return columns

    def _entity(self, entity: Entity, asset_type: str) -> int:
        if self._entities and isinstance(entity, str) is not isinstance(next(iter(self._entities)), str):
            raise ValueError("entities of one batch are all keys or all numbers")
        index = self._place(self._entities, entity)
        if asset_type:
            self._asset_types[index] = asset_type
        return index

    def _source(self, source_type: str) -> int:
        return 1 + self._place(self._source_types, source_type) if source_type else 0

    def _place(self, dictionary: dict[Any, int], text: Entity) -> int:
        if text not in dictionary:
            dictionary[text] = len(dictionary)
            self._bytes += len(text) + 2 if isinstance(text, str) else 10
        return dictionary[text]


def batches_of(rows: Iterable[Write]) -> Iterator[ColumnBatch]:
    """Yield the rows as batches within the contract's limits, in order."""
    builder = ColumnBuilder()
    for row in rows:
        builder.add_rows((row,))
        if builder.full:
            yield builder.build()
            builder = ColumnBuilder()
    if len(builder):
        yield builder.build()


def batches_of_frame(data: Any, *, entity: str, event_time: str, asset_type: str = "") -> Iterator[ColumnBatch]:
    """Yield a table as batches within the contract's limits, in order; the arguments are those of `add_frame`."""
    table = table_of(data)
    rows = max(MAX_ITEMS // max(table.num_columns - 2, 1), 1)
    pieces = [table.slice(start, rows) for start in range(0, table.num_rows, rows)][::-1]
    while pieces:
        piece = pieces.pop()
        builder = ColumnBuilder()
        builder.add_frame(piece, entity=entity, event_time=event_time, asset_type=asset_type)
        half = piece.num_rows // 2
        if builder.size_bytes > MAX_BYTES and half:
            pieces += [piece.slice(half), piece.slice(0, half)]
        elif len(builder):
            yield builder.build()


def rows_of(batch: ColumnBatch) -> list[Write]:
    """Return the rows that a batch says, which must be a sound one; for people and tests."""
    entities: Sequence[Entity] = batch.entity_ids or batch.entity_keys
    values = {kind: iter(getattr(batch, f"{kind.name.lower()}_values")) for kind in ValueType}
    sources = ["", *batch.source_types]
    rows = []
    for item, number in enumerate(batch.value_types):
        kind, place = ValueType(number), batch.entity_indexes[item]
        value = next(values[kind])
        rows.append(
            Write(
                entity=entities[place],
                attribute=batch.attribute_keys[batch.attribute_indexes[item]],
                value=Uint64(value) if kind is ValueType.UINT64 else value,
                event_time=batch.event_times_us[item],
                value_type=kind,
                source_type=sources[batch.source_type_indexes[item]] if batch.source_type_indexes else "",
                asset_type=batch.asset_types[place] if batch.asset_types else "",
            )
        )
    return rows


def _column(name: str, column: npt.ArrayLike | Sequence[Scalar], length: int) -> tuple[ValueType, list[Any]]:
    cells = column if isinstance(column, np.ndarray | list | tuple) else list(column)  # type: ignore[arg-type]
    if len(cells) != length:
        raise ValueError(f"{name}: {len(cells)} values for {length} entities")
    # Text and octets do not pass through an array, which would drop what is NUL at their end.
    for kind, plain in ((ValueType.STRING, str), (ValueType.BYTES, bytes)):
        if all(isinstance(cell, plain) for cell in cells):
            return kind, list(cells)
    array = np.asarray(cells)
    if array.ndim != 1 or array.dtype.kind not in _KINDS:
        raise TypeError(f"{name}: {array.dtype} in {array.ndim} dimensions is no column of the contract")
    kind, dtype = _KINDS[array.dtype.kind]
    return kind, array.astype(dtype, copy=False).tolist()


def _plain(entities: Sequence[Entity] | npt.NDArray[Any]) -> Sequence[Entity]:
    return entities.tolist() if isinstance(entities, np.ndarray) else entities
