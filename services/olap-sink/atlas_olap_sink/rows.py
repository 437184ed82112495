"""Decoded changes as columns of ClickHouse's tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from atlaskit.cdc.changes import EntityColumns, HistoryColumns, HotColumns, TermColumns
from atlaskit.cdc.fields import Int64s

Columns: TypeAlias = Mapping[str, Any]

MAX_MONTHS = 100  # partitions that one insert may touch


def rows_of(columns: Columns) -> int:
    """Return the number of rows."""
    return len(next(iter(columns.values()), ()))


def history_rows(rows: HistoryColumns, keys: Sequence[str], assets: Sequence[str], sources: Sequence[str]) -> Columns:
    """Return rows of `entity_analytics_events`; the texts stand in the order of the rows."""
    return {
        "tenant_id": rows.tenant_id,
        "entity_id": rows.entity_id,
        "shard": rows.shard,
        "asset_type": assets,
        "attribute_key": keys,
        "attribute_type": rows.value_type,
        "value_int64": rows.value_int,
        "value_uint64": rows.value_uint,
        "value_double": rows.value_double,
        "value_bool": rows.value_bool,
        "value_string": rows.value_text,
        "value_bytes": rows.value_bytes,
        "source_type": sources,
        "event_timestamp": rows.event_time,
        "ingestion_timestamp": rows.created_at,
        "row_version": rows.row_version,
        "deletion": rows.deletion,
    }


def entity_rows(rows: EntityColumns, assets: Sequence[str]) -> Columns:
    """Return rows of `entities`."""
    return {
        "tenant_id": rows.tenant_id,
        "entity_id": rows.entity_id,
        "shard": rows.shard,
        "entity_key": rows.entity_key,
        "asset_type": assets,
        "created_at": rows.created_at,
        "updated_at": rows.updated_at,
        "row_version": rows.row_version,
        "deleted": rows.deleted,
    }


def hot_rows(rows: HotColumns) -> Columns:
    """Return rows of `entity_hot_attributes`."""
    return {
        "tenant_id": rows.tenant_id,
        "entity_id": rows.entity_id,
        "shard": rows.shard,
        "row_version": rows.row_version,
        "change": rows.change,
        "payload": rows.payload,
    }


def term_rows(rows: TermColumns, id_column: str, text_column: str) -> Columns:
    """Return rows of a dictionary."""
    return {
        "tenant_id": rows.tenant_id,
        id_column: rows.term_id,
        text_column: rows.text,
        "row_version": rows.row_version,
    }


def by_months(columns: Columns, times: Int64s, most: int = MAX_MONTHS) -> Iterator[Columns]:
    """Yield the rows in parts that touch at most `most` months of `times` (microseconds); usually in one."""
    months = times.view("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    distinct = np.unique(months)
    if len(distinct) <= most:
        yield columns
        return
    for first in range(0, len(distinct), most):
        wanted = distinct[first : first + most]
        places = np.flatnonzero((months >= wanted[0]) & (months <= wanted[-1]))
        yield {name: values_at(column, places) for name, column in columns.items()}


def values_at(column: Any, places: Any) -> Any:
    """Return the values of a column, an array or a list, at these places."""
    return column[places] if isinstance(column, np.ndarray) else [column[place] for place in places]
