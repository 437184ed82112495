"""Entities in a transaction of ingest: found, inserted if absent, updated when their metadata change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from atlaskit.batch import Integers, ItemState, Part, WriteBatch, used
from atlaskit.model import Deletion
from atlaskit.postgres.history import Numbered
from atlaskit.postgres.ledger import Ledger
from atlaskit.postgres.writer import Writer

TABLE = "entities"
# Tenant and entity.
Identity: TypeAlias = tuple[int, int]


class Wish(NamedTuple):
    """What a transaction says of an entity: `key` None for a numbered one, `asset_type_id` None to leave it.

    `creates`: some item writes to it. `deleted`: whether the last say is a delete of the entity; None says neither.
    """

    shard: int
    key: str | None
    asset_type_id: int | None
    version: int
    creates: bool = True
    deleted: bool | None = False


@dataclass(frozen=True, slots=True)
class Known:
    """An entity as stored."""

    key: str | None
    asset_type_id: int | None
    deleted: bool


def wishes_of(batches: Iterable[Numbered]) -> dict[Identity, Wish]:
    """Return what the batches say of each entity, in delivery order; the key said first stands."""
    wishes: dict[Identity, Wish] = {}
    for one in batches:
        for identity, wish in _wishes(one):
            said = wishes.get(identity)
            wishes[identity] = wish if said is None else _later(said, wish)
    return wishes


def _later(said: Wish, wish: Wish) -> Wish:
    asset = said.asset_type_id if wish.asset_type_id is None else wish.asset_type_id
    deleted = said.deleted if wish.deleted is None else wish.deleted
    return Wish(said.shard, said.key, asset, wish.version, said.creates or wish.creates, deleted)


def _wishes(one: Numbered) -> Iterator[tuple[Identity, Wish]]:
    batch, rows = one.batch, one.batch.stored()
    entities = batch.entity_indexes[rows]
    # With an index repeated, the last assignment stands.
    version = np.zeros(len(batch.entity_ids), np.int64)
    version[entities] = one.versions[rows]
    asset = np.zeros(len(batch.entity_ids), np.int64)
    typed = one.asset_type_ids[rows] > 0
    asset[entities[typed]] = one.asset_type_ids[rows][typed]
    erased = set(entities[batch.deletions[rows] == Deletion.ENTITY].tolist())
    places = used(entities)
    tenant, creates = batch.tenant.tenant_id, not batch.deletes
    columns = (batch.entity_ids, one.shards, asset, version)
    for place, entity, *said in zip(places, *(column[places].tolist() for column in columns), strict=True):
        shard, asset_type, row_version = said
        deleted = False if creates else (place in erased or None)
        key = batch.entity_keys[place] or None
        yield (tenant, entity), Wish(shard, key, asset_type or None, row_version, creates, deleted)


def changes(wishes: Mapping[Identity, Wish], known: Mapping[Identity, Known]) -> dict[Identity, Wish]:
    """Return the wishes to be written, by key: what is new, deleted, revived, or of another type than stored."""
    return {identity: wish for identity, wish in sorted(wishes.items()) if _changes(wish, known.get(identity))}


def _changes(wish: Wish, known: Known | None) -> bool:
    if known is None:
        return wish.creates
    if wish.deleted and known.key == wish.key:
        return True  # also once it is deleted: a write between the two deletes must find the later one
    retyped = wish.asset_type_id is not None and wish.asset_type_id != known.asset_type_id
    revived = known.deleted and wish.deleted is False
    return known.key == wish.key and (revived or retyped)


async def write(
    writer: Writer, ledger: Ledger, known: Mapping[Identity, Known], changed: Mapping[Identity, Wish]
) -> Mapping[Identity, Known]:
    """Write what changes of what is known, and return every entity as it is stored then; a delete creates none.

    Its key may be another one than wished: the caller must compare. Rows are locked in the order of their keys; the
    transaction must have the locks of the tenants."""
    if not changed:
        return known
    tenants, entities = zip(*changed, strict=True)
    shards, keys, assets, versions, _, deleted = zip(*changed.values(), strict=True)
    gone = [bool(one) for one in deleted]
    rows = await writer.fetch("upsert_entities", tenants, entities, shards, keys, assets, versions, gone)
    columns = np.array([(row["shard"], row["row_version"]) for row in rows], np.int64).reshape(-1, 2)
    ledger.add(TABLE, columns[:, 0], columns[:, 1])
    # In a statement of its own: it sees what others committed while the upsert waited.
    return {**known, **await find(writer, changed)}


async def find(writer: Writer, wishes: Mapping[Identity, Wish]) -> dict[Identity, Known]:
    """Return the entities of the wishes that exist, as they are stored."""
    tenants, entities = zip(*wishes, strict=True)
    shards = [wish.shard for wish in wishes.values()]
    return {
        (row["tenant_id"], row["entity_id"]): Known(row["entity_key"], row["asset_type_id"], row["deleted"])
        for row in await writer.fetch("find_entities", tenants, entities, shards)
    }


def refuse_strangers(batch: WriteBatch, known: Mapping[Identity, Known]) -> None:
    """Refuse the items whose entity key met another key in the same number, and deletes of what does not exist."""
    tenant = batch.tenant.tenant_id
    places = used(batch.entity_indexes[batch.stored()])
    for index, entity in zip(places, batch.entity_ids[places].tolist(), strict=True):
        stored = known.get((tenant, entity))
        if stored is not None and stored.key == (batch.entity_keys[index] or None):
            continue
        items = np.flatnonzero((batch.entity_indexes == index) & (batch.states != ItemState.REFUSED))
        where = np.full(len(items), index)
        if stored is None:
            part = Part.ENTITY_KEY if batch.entity_keys[index] else Part.ENTITY_ID
            message = "the tenant has no such entity, so there is nothing to hide"
            batch.refuse(items, "ENTITY_UNKNOWN", part, where, message)
        else:
            message = "this key and a stored one give the same number; register the entity under another key"
            batch.refuse(items, "ENTITY_KEY_COLLISION", Part.ENTITY_KEY, where, message)


def stored_asset_types(one: Numbered, known: Mapping[Identity, Known]) -> Integers:
    """Return the stored asset type id of each entity of a batch's dictionary, 0 where none is."""
    tenant = one.batch.tenant.tenant_id
    found = (known.get((tenant, entity)) for entity in one.batch.entity_ids.tolist())
    return np.array([0 if entity is None else entity.asset_type_id or 0 for entity in found], np.int64)
