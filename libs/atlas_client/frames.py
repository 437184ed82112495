"""Tables of pyarrow and pandas as columns of a batch. pyarrow is needed only by those who call this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas_client.values import ValueType

_KINDS = {
    "int": ValueType.INT64,
    "uint": ValueType.UINT64,
    "float": ValueType.DOUBLE,
    "halffloat": ValueType.DOUBLE,
    "double": ValueType.DOUBLE,
    "bool": ValueType.BOOL,
    "string": ValueType.STRING,
    "large_string": ValueType.STRING,
    "string_view": ValueType.STRING,
    "binary": ValueType.BYTES,
    "large_binary": ValueType.BYTES,
    "binary_view": ValueType.BYTES,
    "fixed_size_binary": ValueType.BYTES,
}


@dataclass(frozen=True, slots=True)
class FrameColumn:
    """Values of one attribute, and the rows that have one."""

    name: str
    kind: ValueType
    rows: npt.NDArray[np.int64]
    values: list[Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """A table with one row for each entity and time, and a column for each attribute."""

    entities: list[str] | list[int]
    event_times_us: npt.NDArray[np.int64]
    columns: Sequence[FrameColumn]


def table_of(data: Any) -> Any:
    """Return a pyarrow Table of a Table, a RecordBatch or a pandas DataFrame (whose NaN is then null).

    Raises TypeError for anything else, ValueError (pyarrow's) for a column of mixed types."""
    import pyarrow as pa  # noqa: PLC0415  # only for those who have tables

    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if type(data).__module__.partition(".")[0] == "pandas":
        return pa.Table.from_pandas(data, preserve_index=False)
    raise TypeError(f"{type(data).__name__} is no table; pass a pyarrow Table or RecordBatch, or a pandas DataFrame")


def frame_of(table: Any, entity: str, event_time: str) -> Frame:
    """Return a pyarrow Table as columns; `entity` and `event_time` name two of its columns, the others are attributes.

    A null is no value. Raises ValueError for a column that is missing, an entity or time that is null, a time without a
    zone or finer than a microsecond, TypeError for a column of a type that the contract does not have."""
    for name in (entity, event_time):
        if name not in table.column_names:
            raise ValueError(f"no column {name!r}; there are {', '.join(map(repr, table.column_names))}")
        if table.column(name).null_count:
            raise ValueError(f"{name}: {table.column(name).null_count} rows are null")
    names = [name for name in table.column_names if name not in {entity, event_time}]
    return Frame(
        entities=table.column(entity).to_pylist(),
        event_times_us=_times(event_time, table.column(event_time)),
        columns=[_column(name, table.column(name)) for name in names],
    )


def _times(name: str, column: Any) -> npt.NDArray[np.int64]:
    import pyarrow as pa  # noqa: PLC0415  # as above

    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise ValueError(f"{name}: times without a zone; say which it is, such as UTC")
        # Raises ValueError where a digit would be lost.
        column = column.cast(pa.timestamp("us", tz=column.type.tz)).cast(pa.int64())
    elif not pa.types.is_integer(column.type):
        raise TypeError(f"{name}: {column.type} is no time; pass timestamps with a zone, or microseconds since 1970")
    times: npt.NDArray[np.int64] = column.to_numpy().astype(np.int64)
    return times


def _column(name: str, column: Any) -> FrameColumn:
    import pyarrow as pa  # noqa: PLC0415  # as above

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = _KINDS.get(str(column.type).partition("[")[0].rstrip("0123456789"))
    if pa.types.is_null(column.type):
        return FrameColumn(name, ValueType.DOUBLE, np.empty(0, np.int64), [])
    if kind is None:
        raise TypeError(f"{name}: {column.type} is no type of the contract; cast it to one that is")
    rows = np.flatnonzero(column.is_valid().to_numpy()).astype(np.int64)
    return FrameColumn(name, kind, rows, column.drop_null().to_pylist())
