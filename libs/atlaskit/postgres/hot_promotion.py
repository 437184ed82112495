"""Promoting and demoting attributes: changes of the catalogue, nothing else. What follows is `hot_backfill`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Final

from atlaskit.errors import AlreadyExists, NotFound, StateForbids
from atlaskit.model import ValueType
from atlaskit.postgres.hot_slots import HotMapping, Slot, mapping_from, slots_of
from atlaskit.postgres.pool import Pool, Row, Session
from atlaskit.sql import load

_SQL: Final = load(files("atlaskit.postgres") / "queries")


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of the entities of one asset type (empty: of those without) of a tenant."""

    tenant_id: int
    asset_type: str
    key: str


@dataclass(frozen=True, slots=True)
class HotAttribute:
    """A promotion. `entities_total` is None until it was counted."""

    mapping: HotMapping
    attribute: Attribute
    entities_done: int
    entities_total: int | None
    created_at: datetime
    ready_at: datetime | None
    retired_at: datetime | None


class HotAttributes:
    """Promotes, demotes and lists. A tenant has at most `budget` promoted attributes, over all of its asset types."""

    def __init__(self, pool: Pool, budget: int) -> None:
        self._pool = pool
        self._budget = budget

    async def promote(self, wanted: Attribute, kind: ValueType | None, limit: timedelta) -> HotAttribute:
        """Return the promotion of the attribute, begun now if there was none; `kind` None: the one type it has had.

        Raises NotFound for an asset type or a key that the tenant does not have, AlreadyExists if it is promoted with
        another type, StateForbids if its type is not decided, or there is no slot or no budget left."""
        async with self._pool.lease(limit) as session, session.transaction():
            await session.fetch(_SQL["lock_hot_catalogue"], wanted.tenant_id, limit=limit)
            names = await _names(session, wanted, limit)
            rows = await session.fetch(_SQL["hot_mappings"], [wanted.tenant_id], limit=limit)
            mappings = [mapping_from(row) for row in rows]
            held = _held(mappings, names)
            if held is None:
                chosen = kind or _only(names["kinds"])
                slot = choose_slot(mappings, names["asset_type_id"], chosen, self._budget)
                given = (wanted.tenant_id, names["asset_type_id"], names["attribute_id"], slot.name)
                mapping_id = await session.value(_SQL["insert_hot_mapping"], *given, limit=limit)
                await session.execute(_SQL["begin_hot_backfill"], mapping_id, limit=limit)
            elif kind not in {None, held.slot.kind}:
                raise AlreadyExists(f"value_type: {wanted.key!r} is promoted as {held.slot.kind.name}; demote it first")
            else:
                mapping_id = held.mapping_id
            return await _one(session, wanted.tenant_id, mapping_id, limit)

    async def demote(self, wanted: Attribute, limit: timedelta) -> HotAttribute:
        """Return the promotion of the attribute, ended now. Raises NotFound if there is none."""
        async with self._pool.lease(limit) as session, session.transaction():
            await session.fetch(_SQL["lock_hot_catalogue"], wanted.tenant_id, limit=limit)
            names = await _names(session, wanted, limit)
            rows = await session.fetch(_SQL["hot_mappings"], [wanted.tenant_id], limit=limit)
            held = _held([mapping_from(row) for row in rows], names)
            if held is None:
                raise NotFound(f"attribute_key: {wanted.key!r} is not promoted for {wanted.asset_type!r}")
            await session.execute(_SQL["retire_hot_mapping"], held.mapping_id, limit=limit)
            return await _one(session, wanted.tenant_id, held.mapping_id, limit)

    async def after(
        self, tenant_id: int, mapping_id: int, count: int, *, retired: bool, limit: timedelta
    ) -> list[HotAttribute]:
        """Return up to `count` promotions of a tenant with greater ids, by id; with `retired` those that ended too."""
        async with self._pool.lease(limit) as session:
            rows = await session.fetch(_SQL["hot_attributes"], tenant_id, mapping_id, retired, count, limit=limit)
        return [_hot_attribute(row) for row in rows]


def choose_slot(mappings: Sequence[HotMapping], asset_type_id: int, kind: ValueType, budget: int) -> Slot:
    """Return a free slot of a type for one more attribute of an asset type. Raises StateForbids if there is none."""
    if len(mappings) >= budget:
        text = f"the tenant has {len(mappings)} promoted attributes, of {budget} at most; demote one"
        raise StateForbids(text, "HOT_BUDGET_EXCEEDED")
    used = {one.slot for one in mappings if one.asset_type_id == asset_type_id}
    free = [slot for slot in slots_of(kind) if slot not in used]
    if not free:
        raise StateForbids(
            f"the asset type has no free slot for {kind.name}; demote one of that type", "HOT_SLOTS_FULL"
        )
    return free[0]


def _only(kinds: Sequence[int]) -> ValueType:
    slotted = [ValueType(kind) for kind in kinds if slots_of(ValueType(kind))]
    if len(slotted) != 1 or len(kinds) != 1:
        raise StateForbids(
            "value_type: the key has had values of several types, or of none; name one", "HOT_TYPE_UNDECIDED"
        )
    return slotted[0]


def _held(mappings: Sequence[HotMapping], names: Row) -> HotMapping | None:
    identity = names["asset_type_id"], names["attribute_id"]
    return next((one for one in mappings if (one.asset_type_id, one.attribute_id) == identity), None)


async def _names(session: Session, wanted: Attribute, limit: timedelta) -> Row:
    row = await session.row(_SQL["hot_names"], wanted.tenant_id, wanted.asset_type, wanted.key, limit=limit)
    assert row is not None
    if row["asset_type_id"] is None:
        raise NotFound(f"asset_type: the tenant has no asset type {wanted.asset_type!r}")
    if row["attribute_id"] is None:
        raise NotFound(f"attribute_key: the tenant has no key {wanted.key!r}")
    return row


async def _one(session: Session, tenant_id: int, mapping_id: int, limit: timedelta) -> HotAttribute:
    row = await session.row(_SQL["hot_attributes"], tenant_id, mapping_id - 1, True, 1, limit=limit)
    assert row is not None
    return _hot_attribute(row)


def _hot_attribute(row: Row) -> HotAttribute:
    mapping = mapping_from(row)
    return HotAttribute(
        mapping,
        Attribute(mapping.tenant_id, row["asset_type"], row["attribute_key"]),
        row["entities_done"],
        row["entities_total"],
        row["created_at"],
        row["ready_at"],
        row["retired_at"],
    )
