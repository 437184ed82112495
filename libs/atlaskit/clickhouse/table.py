"""Rows in, by columns, and proof that all of them were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from atlaskit.clickhouse.errors import PartialInsert
from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse

# The proof of visibility rests on these: the answer comes after the rows are in place, and a repeat is never swallowed.
INSERT_SETTINGS: Final[Mapping[str, Any]] = {"async_insert": 0, "insert_deduplicate": 0}
# An insert that touches more partitions than this is refused by the server: split it by month of event time.
MAX_PARTITIONS: Final = 100

# One column: values of its type, as a sequence or an array of numpy. DateTime64 also takes its ticks as int
# (microseconds for DateTime64(6)), which is far faster than datetimes.
Column = Sequence[Any] | Any


async def insert(
    clickhouse: ClickHouse, table: str, columns: Mapping[str, Column], limit: timedelta = CALL_LIMIT
) -> None:
    """Return once every row is written and on disk. The same rows again replace themselves.

    Columns that are not given take their defaults. Raises PartialInsert unless the server wrote as many rows as were
    sent, and ValueError for columns of different lengths. After any other error some of the rows may be there: insert
    all of them again.
    """
    sent = row_count(columns)
    if sent == 0:
        return
    types = await clickhouse.column_types(table, limit)
    names = list(columns)

    def call(client: Any) -> int:
        context = client.create_insert_context(
            table,
            column_names=names,
            column_types=[types[name] for name in names],
            column_oriented=True,
            settings={**INSERT_SETTINGS, "max_execution_time": limit.total_seconds()},
            data=[_plain(columns[name]) for name in names],
        )
        return int(client.insert(context=context).written_rows)

    written = await clickhouse.run(f"inserting into {table}", call, limit)
    if written != sent:
        raise PartialInsert(table, sent, written)


def row_count(columns: Mapping[str, Column]) -> int:
    """Return the number of rows that these columns hold. Raises ValueError if they differ."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    return next(iter(lengths.values()), 0)


def _plain(column: Column) -> Sequence[Any]:
    """Return the column as a list: the driver tells ticks from datetimes by type, and an int of numpy is no int."""
    return column.tolist() if hasattr(column, "tolist") else column
