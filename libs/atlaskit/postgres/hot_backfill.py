"""Filling slots from history: those of a mapping for all entities of its type, and all of one entity.

What is filled in moves a slot only forwards, as every write does, so the order of the two does not matter. A backfill
runs in short transactions of a writer, each with its ledger row and its progress, and goes on after a crash where it
was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from atlaskit.batch import DELETED_AT_US
from atlaskit.model import RowVersion, ValueType
from atlaskit.postgres.entities import Identity
from atlaskit.postgres.hot_slots import HotMapping, mapping_from
from atlaskit.postgres.hot_values import HotRow, HotRows, Mark, TenantMappings, holds
from atlaskit.postgres.hot_writes import write_rows
from atlaskit.postgres.pool import Pool
from atlaskit.postgres.slots import slot_of
from atlaskit.postgres.transaction import Touched, Transaction
from atlaskit.postgres.writer import SQL, Writer

_LIMIT = timedelta(seconds=10)  # one transaction
_POLL_SECONDS = 0.01
_COLUMN: Mapping[ValueType, str] = {
    ValueType.INT64: "value_int",
    ValueType.UINT64: "value_uint",
    ValueType.DOUBLE: "value_double",
    ValueType.BOOL: "value_bool",
    ValueType.STRING: "value_text",
}


class Step(StrEnum):
    """What a step of a backfill came to."""

    MORE = "more"
    READY = "ready"  # the mapping is READY now
    NOT_OURS = "not ours"  # another process has it at the moment, or it was demoted


async def backfills_left(pool: Pool) -> list[HotMapping]:
    """Return the mappings that are being backfilled, by id."""
    async with pool.lease() as session:
        return [mapping_from(row) for row in await session.fetch(SQL["hot_backfills_left"])]


async def await_earlier_writes(writer: Writer, tenant_id: int) -> None:
    """Return once no transaction runs any more that writes to the tenant and may not know what is promoted by now.

    A transaction that takes the tenant's lock later reads the number of the catalogue after that, and knows. Nobody
    waits for this; it ends when those that run now have ended, which their own limits bound. Cancelled, it has no
    effect."""
    slot = slot_of(tenant_id)
    early = {row["virtualtransaction"] for row in await writer.fetch("writes_under_way", slot)}
    while early:
        await asyncio.sleep(_POLL_SECONDS)
        early &= {row["virtualtransaction"] for row in await writer.fetch("writes_under_way", slot)}


async def backfill_step(writer: Writer, mapping: HotMapping, entities: int) -> Step:
    """Fill the slots of the next entities, at most so many; after the last ones the mapping is READY.

    `await_earlier_writes` must have returned once since the mapping was found."""
    number = await writer.reserve()

    async def work(opened: Transaction) -> Step:
        return await _fill_next(writer, opened, number, mapping, entities)

    # The lock that it shares with writes keeps entities from being deleted or changing their types meanwhile.
    return await writer.transact(number, work, _LIMIT, touched=Touched({mapping.tenant_id: False}, []))


async def _fill_next(writer: Writer, opened: Transaction, number: int, mapping: HotMapping, most: int) -> Step:
    found = await writer.fetch("lock_hot_backfill", mapping.mapping_id)
    if not found:
        return Step.NOT_OURS
    [progress] = found
    total = None
    if progress["entities_total"] is None:
        total = (await writer.fetch("count_hot_entities", mapping.tenant_id, mapping.asset_type_id))[0][0]
    after = progress["after_entity_id"]
    rows = await writer.fetch("hot_entities", mapping.tenant_id, mapping.asset_type_id, after, most)
    first = RowVersion(writer.epoch, number, 0).packed()
    hot = {(mapping.tenant_id, row["entity_id"]): HotRow(row["shard"], first + place) for place, row in enumerate(rows)}
    await fill(writer, opened, hot, [(identity, [mapping]) for identity in hot])
    last = rows[-1]["entity_id"] if rows else after
    await writer.fetch("note_hot_progress", mapping.mapping_id, last, len(rows), total)
    if len(rows) == most:
        return Step.MORE
    return Step.READY if await writer.fetch("mark_hot_ready", mapping.mapping_id) else Step.NOT_OURS


async def refill(
    writer: Writer,
    opened: Transaction,
    changed: Mapping[Identity, tuple[int, int, int]],
    catalogue: Mapping[int, TenantMappings],
) -> None:
    """Fill the slots of entities whose type changed in this transaction, which has their tenants' locks alone.

    `changed`: shard, asset type now, and the row version to write with."""
    wanted: list[tuple[Identity, Collection[HotMapping]]] = []
    hot: HotRows = {}
    for identity, (shard, asset_type_id, version) in changed.items():
        held = catalogue[identity[0]].by_type.get(asset_type_id)
        if held:
            hot[identity] = HotRow(shard, version)
            wanted.append((identity, held.values()))
    await fill(writer, opened, hot, wanted)


async def fill(
    writer: Writer, opened: Transaction, hot: HotRows, wanted: Sequence[tuple[Identity, Collection[HotMapping]]]
) -> None:
    """Write what history says of these mappings of these entities; `hot` has a row without marks for each."""
    pairs = [(identity, mapping) for identity, mappings in wanted for mapping in mappings]
    if not pairs:
        return
    mapping_of = {(*identity, mapping.attribute_id): mapping for identity, mapping in pairs}
    tops = await writer.fetch("hot_tops", *map(list, zip(*mapping_of, strict=True)))
    for top in tops:
        mapping = mapping_of[top["tenant_id"], top["entity_id"], top["attribute_id"]]
        row = hot[top["tenant_id"], top["entity_id"]]
        row.marks[mapping.slot] = mark_of(mapping, dict(top))
        row.erased = max(row.erased or 0, top["floor"] or 0) or None
    await write_rows(writer, opened.ledger, {identity: row for identity, row in hot.items() if row.marks})


def mark_of(mapping: HotMapping, top: Mapping[str, Any]) -> Mark:
    """Return what the newest row of an attribute, with the version of the last delete of it all, says of its slot."""
    floor, version, kind = top["floor"] or 0, top["row_version"], top["value_type"]
    if version is None:
        return Mark(mapping.mapping_id, DELETED_AT_US, floor, asks=True, value=None)
    # A text that is too long comes as null; octets have no slot.
    column = _COLUMN.get(kind)
    stored = top[column] if column else None
    value = int(stored) if kind == ValueType.UINT64 and stored is not None else stored
    known = version > floor and value is not None and holds(mapping.slot, kind, value)
    return Mark(mapping.mapping_id, top["time_us"], max(version, floor), not known, value if known else None)
