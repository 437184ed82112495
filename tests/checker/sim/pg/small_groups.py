"""The procedure that commits a small group in one round trip."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

from asyncpg import exceptions as pg
from checker.sim.pg.session import Backend, Rows, instant, numbers_of, store_requests
from checker.sim.process import WALL_BEGIN

LOCK_TIMEOUT = 0.1
_INDEX_BITS = 17
_COLUMNS = (
    "tenant_id", "entity_id", "attribute_id", "shard", "value_type", "event_time", "row_version",
    "asset_type_id", "source_type_id",
)  # fmt: skip
_VALUES = ("value_int", "value_uint", "value_double", "value_bool", "value_text", "value_bytes")


async def commit_small_group(
    backend: Backend,
    writer: int,
    sequence: int,
    traces: str,
    slots: list[int],
    numbers: list[int],
    request_tenants: list[int],
    request_ids: list[Any],
    digests: list[bytes],
    answers: list[str],
    *columns: Any,
) -> Rows:
    """Commit, or do nothing and say why."""
    assert backend.transaction is not None
    transaction = backend.server.nextval("ingest_transaction")
    if backend.server.in_recovery:
        raise pg.ReadOnlySQLTransactionError("cannot execute nextval() in a read-only transaction")
    if not all(backend.try_lock(("tenant", slot), shared=True) for slot in slots):
        return _nothing(backend, "busy")
    if numbers_of(backend, slots, backend.server.visible) != list(numbers):
        return _nothing(backend, "changed")
    began = backend.transaction.began
    committed = instant(began)
    ending = f",{int(WALL_BEGIN.timestamp()) * 1_000_000 + int(began * 1e6)}]"
    results = [(answer + ending).encode() for answer in answers]
    try:
        async with asyncio.timeout(LOCK_TIMEOUT):
            stored = await store_requests(backend, request_tenants, request_ids, digests, results)
    except TimeoutError:
        raise pg.LockNotAvailableError("canceling statement due to lock timeout") from None
    if stored < len(request_ids):
        return _nothing(backend, "repeated")
    if backend.timeline.store.writers[writer].at(backend.server.visible) != sequence - 1:
        return _nothing(backend, "lost")
    backend.change("ingest_writers", {"writer": writer, "last_sequence": sequence, "backend": backend.number})
    rows = _rows(transaction, columns)
    append_history(backend, rows)
    backend.change("ingest_batches", _ledger_row(writer, sequence, transaction, rows, traces, began))
    await backend.commit()
    row = {"outcome": "committed", "transaction": transaction, "committed_at": committed}
    return [{**row, "flushed": backend.server.flush_lsn}]


def _nothing(backend: Backend, outcome: str) -> Rows:
    backend.roll_back()
    return [{"outcome": outcome, "transaction": None, "committed_at": None, "flushed": None}]


def _rows(transaction: int, columns: tuple[Any, ...]) -> Rows:
    fixed, values = columns[: len(_COLUMNS)], columns[len(_COLUMNS) :]
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in zip(*fixed, strict=True)]
    for place, row in enumerate(rows):
        row["row_version"] += transaction << _INDEX_BITS
        row["deletion"] = 0
        row["asset_type_id"] = row["asset_type_id"] or None
        row["source_type_id"] = row["source_type_id"] or None
        for name, column in zip(_VALUES, values, strict=True):
            row[name] = None if column is None else column[place]
        if row["value_uint"] is not None:
            row["value_uint"] = int(row["value_uint"])
    return rows


def _ledger_row(writer: int, sequence: int, transaction: int, rows: Rows, traces: str, began: float) -> dict[str, Any]:
    totals: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        totals[row["shard"]][0] += 1
        totals[row["shard"]][1] += row["row_version"]
    entries = [
        ["entity_attributes", shard, count, str((total + (1 << 63)) % (1 << 64) - (1 << 63))]
        for shard, (count, total) in sorted(totals.items())
    ]
    return {
        "writer": writer,
        "sequence": sequence,
        "transaction_number": transaction,
        "shard": 0,
        "row_version": (rows[0]["row_version"] >> 55 << 55) + (transaction << _INDEX_BITS),
        "entries": json.dumps(entries, separators=(",", ":")),
        "traceparents": traces,
        "created_at": began,
    }


def append_history(backend: Backend, rows: Rows) -> Rows:
    """Append rows of the history with the time of the transaction."""
    assert backend.transaction is not None
    created = backend.transaction.began
    for row in rows:
        row["created_at"] = created
        backend.change("entity_attributes", row)
    return []
