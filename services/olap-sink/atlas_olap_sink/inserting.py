"""One batch into ClickHouse: ids to texts, columns to tables, every row acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from atlaskit.cdc.changes import HistoryColumns, TermColumns
from atlaskit.cdc.topics import ASSET_TYPES, ATTRIBUTE_KEYS, ENTITIES, HOT_ATTRIBUTES
from atlaskit.postgres.terms import TermKind

from atlas_olap_sink.decoding import Batch, newest_epoch
from atlas_olap_sink.metrics import SinkMetrics
from atlas_olap_sink.patience import Stopping, persist
from atlas_olap_sink.rows import Columns, by_months, entity_rows, history_rows, hot_rows, rows_of, term_rows
from atlas_olap_sink.store import Store
from atlas_olap_sink.terms import TermMissing, Terms

# What of a batch is to be stored, as far as the primary can tell.
Doubt: TypeAlias = Callable[[Batch], Awaitable[Batch]]
HISTORY_TABLE = "entity_analytics_events"


class Inserter:
    """Puts batches into the store. A failure is retried until it succeeds; nothing is ever skipped."""

    def __init__(self, store: Store, terms: Terms, stop: asyncio.Event, metrics: SinkMetrics | None = None) -> None:
        self._metrics = metrics or SinkMetrics()
        self._store = store
        self._terms = terms
        self._stop = stop
        self._epoch = 0

    async def insert(self, batch: Batch, doubt: Doubt | None = None) -> None:
        """Return once every row of the batch is acknowledged. Raises Stopping if told to stop before that.

        While the primary does not know a dictionary's id that a row uses, `doubt` is asked what of the batch is to be
        stored: after a failover the row may be of a transaction that was lost with the id.
        """
        self._turn(batch)
        self._learn(TermKind.ATTRIBUTE_KEY, batch.attribute_keys)
        self._learn(TermKind.ASSET_TYPE, batch.asset_types)
        asked = batch

        async def resolved() -> list[tuple[str, Columns]]:
            nonlocal asked
            try:
                return await self._parts(asked)
            except TermMissing:
                if doubt is not None:
                    asked = await doubt(asked)
                raise

        parts = await persist("resolving dictionary ids", resolved, self._stop)
        try:
            async with asyncio.TaskGroup() as group:
                for table, columns in parts:
                    group.create_task(self._put(table, columns), name=f"insert-{table}")
        except* Stopping as stopped:
            raise Stopping("inserting") from stopped

    def _turn(self, batch: Batch) -> None:
        """Forget the texts of an earlier epoch: a failover may have given their ids to others."""
        epoch = newest_epoch(batch)
        if epoch > self._epoch:
            self._terms.forget()
            self._epoch = epoch

    def _learn(self, kind: TermKind, rows: TermColumns | None) -> None:
        if rows is not None:
            places = zip(rows.tenant_id.tolist(), rows.term_id.tolist(), strict=True)
            self._terms.learn(kind, zip(places, rows.text, strict=True))

    async def _put(self, table: str, columns: Columns) -> None:
        await persist(f"inserting into {table}", lambda: self._store.insert(table, columns), self._stop)
        self._metrics.stored(table, rows_of(columns))

    async def _parts(self, batch: Batch) -> list[tuple[str, Columns]]:
        parts: list[tuple[str, Columns]] = []
        if batch.attribute_keys is not None:
            parts.append((ATTRIBUTE_KEYS.table, term_rows(batch.attribute_keys, "attribute_id", "attribute_key")))
        if batch.asset_types is not None:
            parts.append((ASSET_TYPES.table, term_rows(batch.asset_types, "asset_type_id", "asset_type")))
        if batch.hot is not None:
            parts.append((HOT_ATTRIBUTES.table, hot_rows(batch.hot)))
        if (rows := batch.entities) is not None:
            assets = await self._terms.texts(TermKind.ASSET_TYPE, rows.tenant_id, rows.asset_type_id)
            parts.append((ENTITIES.table, entity_rows(rows, assets)))
        if batch.history is not None:
            parts += await self._history(batch.history)
        return parts

    async def _history(self, rows: HistoryColumns) -> list[tuple[str, Columns]]:
        keys = await self._terms.texts(TermKind.ATTRIBUTE_KEY, rows.tenant_id, rows.attribute_id)
        assets = await self._terms.texts(TermKind.ASSET_TYPE, rows.tenant_id, rows.asset_type_id)
        sources = await self._terms.texts(TermKind.SOURCE_TYPE, rows.tenant_id, rows.source_type_id)
        whole = history_rows(rows, keys, assets, sources)
        return [(HISTORY_TABLE, part) for part in by_months(whole, rows.event_time)]
