"""What a repair of the copy for analytics reads of the primary: the ledger, transactions, whole shards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final, NamedTuple, cast

import orjson

from atlaskit.cdc.envelope import RowEvent
from atlaskit.cdc.ledger import LedgerRow, ledger_row_from
from atlaskit.model import ROW_INDEX_BITS
from atlaskit.postgres.pool import Pool, Row, Session
from atlaskit.sql import load

_SQL: Final = load(files("atlaskit.postgres") / "queries")
PAGE_ROWS: Final = 20_000
LEDGER_ROWS: Final = 5_000  # rows of the ledger in one answer
# Tables whose rows are never overwritten, so that those of a transaction can be read for ever.
APPEND_ONLY: Final = frozenset({"entity_attributes", "attribute_keys", "asset_types"})
# The columns that order the pages of a table, and what comes before all of its rows.
_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "entity_attributes": ("tenant_id", "entity_id", "attribute_id", "event_time", "row_version"),
    "entities": ("tenant_id", "entity_id"),
    "entity_hot_attributes": ("tenant_id", "entity_id"),
    "attribute_keys": ("tenant_id", "attribute_id"),
    "asset_types": ("tenant_id", "asset_type_id"),
}
_BEFORE_ALL: Final[Mapping[str, Any]] = {"event_time": "-infinity"}


class Identity(NamedTuple):
    """One observation; the event time in microseconds since 1970."""

    tenant_id: int
    entity_id: int
    attribute_key: str
    event_us: int


class Snapshot:
    """One moment of the primary. `writers`: the last sequence of each writer that is committed in it."""

    def __init__(self, session: Session, writers: Mapping[int, int]) -> None:
        self._session = session
        self.writers = writers

    async def pages(self, table: str, shard: int) -> AsyncIterator[list[RowEvent]]:
        """Yield all rows of a shard of a table as events of the connector, at most PAGE_ROWS at a time."""
        order = _ORDER[table]
        after = [_BEFORE_ALL.get(column, -1) for column in order]
        while True:
            rows = await self._session.fetch(_SQL[f"{table}_page"], shard, *after, PAGE_ROWS)
            if rows:
                yield [_event(row) for row in rows]
            if len(rows) < PAGE_ROWS:
                return
            after = [rows[-1][column] for column in order]


class PrimaryReader:
    """Reads the primary for repairs. A transaction is named by epoch and number as one key, as its row versions begin.

    Rows come as events of the connector. Every method raises the errors of `atlaskit.postgres.errors`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ledger_of_writer(self, writer: int, first: int, last: int) -> list[LedgerRow]:
        """Return the rows of the ledger of these sequences, in order, at most LEDGER_ROWS."""
        return [ledger_row_from(row) for row in await self._rows("ledger_of_writer", writer, first, last, LEDGER_ROWS)]

    async def ledger_of_transactions(self, keys: Collection[int]) -> list[LedgerRow]:
        """Return the rows of the ledger of these transactions; one that was not committed has none."""
        rows = await self._rows("ledger_of_transactions", [key << ROW_INDEX_BITS for key in keys])
        return [ledger_row_from(row) for row in rows]

    async def surviving(self, first: int, last: int) -> list[int]:
        """Return which of the transactions from `first` to `last` this primary has."""
        return [row["key"] for row in await self._rows("surviving_transactions", first, last)]

    async def last_sequences(self) -> dict[int, int]:
        """Return the last committed sequence of each writer of the ledger."""
        return {row["writer"]: row["last_sequence"] for row in await self._rows("last_sequences")}

    async def retire_writers(self, proven: Mapping[int, int]) -> list[int]:
        """Take writers out of the vector whose backend is gone and whose last sequence is this; return them."""
        rows = await self._rows("retire_writers", list(proven), list(proven.values()))
        return [row["writer"] for row in rows]

    async def rows_of_transactions(self, table: str, shard: int, keys: Collection[int]) -> list[RowEvent]:
        """Return the rows that these transactions wrote to a shard of a table of APPEND_ONLY.

        The table is read from the first key to the last: give keys that are near each other.
        """
        first, beyond = min(keys) << ROW_INDEX_BITS, (max(keys) + 1) << ROW_INDEX_BITS
        return await self._rows(f"{table}_of_transactions", first, beyond, shard, list(keys))

    async def rows_of_identities(self, identities: Sequence[Identity]) -> list[RowEvent]:
        """Return every version of these observations."""
        columns = [list(column) for column in zip(*identities, strict=True)] or [[], [], [], []]
        return await self._rows("rows_of_identities", *columns)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Yield one moment of the primary, which holds a connection and the horizon of vacuum until the block ends."""
        async with (
            self._pool.lease() as session,
            session.transaction(isolation="repeatable_read", readonly=True),
        ):
            rows = await session.fetch(_SQL["last_sequences"])
            yield Snapshot(session, {row["writer"]: row["last_sequence"] for row in rows})

    async def _rows(self, statement: str, *values: Any) -> list[RowEvent]:
        async with self._pool.lease() as session:
            return [_event(row) for row in await session.fetch(_SQL[statement], *values)]


def _event(row: Row) -> RowEvent:
    event = dict(row)
    whole = event.pop("event", None)
    return event if whole is None else cast("RowEvent", orjson.loads(whole))
