"""Rows of `entity_hot_attributes` written in a transaction of a writer.

The statement depends on which slots it fills, and on nothing else: its text is made of names of the closed set of
slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final

import numpy as np

from atlaskit.model import ValueType
from atlaskit.postgres.hot_slots import SLOTS, TABLE, Slot
from atlaskit.postgres.hot_values import HotChanges, HotRow, HotRows
from atlaskit.postgres.ledger import Ledger
from atlaskit.postgres.writer import Writer

_DELETED_AT: Final = "timestamptz '1969-12-31T00:00:00Z'"
_ROW: Final = {
    "tenant_id": "integer",
    "entity_id": "bigint",
    "shard": "smallint",
    "row_version": "bigint",
    "erased_version": "bigint",
}
_PARTS: Final = {"mapping": "integer", "time": "bigint", "version": "bigint", "deleted": "boolean"}


async def write_changes(writer: Writer, ledger: Ledger, changes: HotChanges) -> None:
    """Apply the changes in the writer's transaction, deletes first, and enter in the ledger what they changed."""
    await write_rows(writer, ledger, changes.erased)
    await write_rows(writer, ledger, changes.written)


async def write_rows(writer: Writer, ledger: Ledger, rows: HotRows) -> int:
    """Write the rows whose marks are newer than what is stored, locked in order of their keys; return how many."""
    if not rows:
        return 0
    ordered = sorted(rows.items())
    used = {slot for _, row in ordered for slot in row.marks}
    slots = tuple(slot for slot in SLOTS.values() if slot in used)
    columns: list[list[Any]] = [
        [tenant for (tenant, _), _ in ordered],
        [entity for (_, entity), _ in ordered],
        [row.shard for _, row in ordered],
        [row.version for _, row in ordered],
        [row.erased for _, row in ordered],
    ]
    for slot in slots:
        columns += _columns(slot, [row for _, row in ordered])
    changed = await writer.run("upsert_hot_rows", upsert(tuple(slot.name for slot in slots)), *columns)
    taken = np.array([(row["shard"], row["row_version"]) for row in changed], np.int64).reshape(-1, 2)
    ledger.add(TABLE, taken[:, 0], taken[:, 1])
    return len(changed)


def _columns(slot: Slot, rows: Sequence[HotRow]) -> list[list[Any]]:
    marks = [row.marks.get(slot) for row in rows]
    values = [None if mark is None else mark.value for mark in marks]
    if slot.kind is ValueType.UINT64:
        # PostgreSQL has no unsigned type: such a number travels as text and becomes a numeric.
        values = [None if value is None else str(value) for value in values]
    return [
        values,
        [None if mark is None else mark.mapping_id for mark in marks],
        [None if mark is None else mark.time_us for mark in marks],
        [None if mark is None else mark.version for mark in marks],
        [None if mark is None else mark.asks for mark in marks],
    ]


@lru_cache(maxsize=512)
def upsert(names: tuple[str, ...]) -> str:
    """Return the statement that fills these slots; its parameters are parallel arrays, a row each.

    A slot moves for another mapping: the one that is written is in force, or the transaction comes to nothing
    (`hot_catalogue`). Under the same one it moves for a greater (event time, version); a delete of the attribute or
    the entity (it stands at 1969-12-31) moves the version of what it hides and leaves the time. A value that such a
    delete hides, though it comes later, asks history. A row that does not move is not returned: the ledger counts the
    others.
    """
    slots = [SLOTS[name] for name in names]
    number = count(1)
    given = [*_ROW, *(column for slot in slots for column in _of(slot))]
    types = [*_ROW.values(), *(kind for slot in slots for kind in (_array_type(slot), *_PARTS.values()))]
    arrays = ", ".join(f"${next(number)}::{kind}[]" for kind in types)
    inserted = [*_ROW, "change", *(column for slot in slots for column in _of(slot))]
    selected = [*_ROW, "1", *(term for slot in slots for term in _taken(slot))]
    sets = ["row_version = excluded.row_version", "change = stored.change + 1",
            "erased_version = greatest(stored.erased_version, excluded.erased_version)",
            *(term for slot in slots for term in _sets(slot))]  # fmt: skip
    moves = " OR ".join(["coalesce(stored.erased_version, 0) < excluded.erased_version", *map(_moves, slots)])
    return f"""INSERT INTO {TABLE} AS stored ({", ".join(inserted)})
SELECT {", ".join(selected)} FROM unnest({arrays}) AS given ({", ".join(given)})
ON CONFLICT (tenant_id, entity_id, shard) DO UPDATE SET {", ".join(sets)}
WHERE {moves}
RETURNING shard, row_version"""  # noqa: S608  # names of the closed set only


def _of(slot: Slot) -> Iterator[str]:
    yield slot.column()
    for part in _PARTS:
        yield slot.column(part)


def _array_type(slot: Slot) -> str:
    return "text" if slot.kind is ValueType.UINT64 else slot.sql_type


def _taken(slot: Slot) -> Iterator[str]:
    yield f"{slot.column()}::{slot.sql_type}"
    for part in _PARTS:
        name = slot.column(part)
        yield f"timestamptz 'epoch' + {name} * interval '1 microsecond'" if part == "time" else name


def _moves(slot: Slot) -> str:
    mapping, time, version = (slot.column(part) for part in ("mapping", "time", "version"))
    return (
        f"(excluded.{mapping} IS NOT NULL AND (stored.{mapping} IS DISTINCT FROM excluded.{mapping} OR "
        f"CASE WHEN excluded.{time} = {_DELETED_AT} THEN excluded.{version} > stored.{version} "
        f"ELSE (excluded.{time}, excluded.{version}) > (stored.{time}, stored.{version}) END))"
    )


def _sets(slot: Slot) -> Iterator[str]:
    mapping, time, deleted, version = (slot.column(part) for part in ("mapping", "time", "deleted", "version"))
    moved = {
        slot.column(): f"excluded.{slot.column()}",
        mapping: f"excluded.{mapping}",
        time: f"CASE WHEN excluded.{mapping} = stored.{mapping} THEN greatest(stored.{time}, excluded.{time}) "
        f"ELSE excluded.{time} END",
        version: f"excluded.{version}",
        deleted: f"excluded.{deleted} OR excluded.{version} < "
        "coalesce(greatest(stored.erased_version, excluded.erased_version), 0)",
    }
    for column, value in moved.items():
        yield f"{column} = CASE WHEN {_moves(slot)} THEN {value} ELSE stored.{column} END"
