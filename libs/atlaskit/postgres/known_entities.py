"""Entities that are known to be committed, so that a transaction which changes none of them need not look them up.

What is known of an entity holds as long as nobody updates it. PostgreSQL counts the updates by slot of tenants, in the
transaction that makes them (`entity_changes`). A transaction relies on what is known at one number, and asks for the
number again in its last statement: whoever may change an entity under it holds the lock of the slot alone, or has
raised the number by then, or comes after it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from atlaskit.batch import Integers
from atlaskit.postgres.entities import Identity, Known
from atlaskit.postgres.history import Numbered
from atlaskit.postgres.slots import slot_of


class Entry(NamedTuple):
    """An entity that is not deleted: its key, empty if it is numbered, and its asset type, 0 if it has none."""

    key: str
    asset_type_id: int


class Reliance(NamedTuple):
    """What a transaction may rely on: the number of each slot, and the stored asset types of each batch's entities.

    The asset types run along the batches; None stands for a batch whose entities are to be looked up."""

    numbers: Mapping[int, int]
    asset_types: list[Integers | None]

    @classmethod
    def none(cls, batches: Sequence[Numbered]) -> Reliance:
        """Return that every entity is to be looked up."""
        return cls({}, [None] * len(batches))


class KnownEntities:
    """Up to `limit` entities of the newest epoch; the tenants that were met last stay. Writers of a process share it.

    What was committed on another timeline may be lost on this one: a newer epoch begins with nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._epoch = 0
        self._count = 0
        self._numbers: dict[int, int] = {}
        self._tenants: OrderedDict[int, dict[int, Entry]] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def look(self, epoch: int, numbers: Mapping[int, int]) -> None:
        """Forget what is known of slots that have a greater number now."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._numbers.clear()
            self._tenants.clear()
            self._count = 0
        if epoch < self._epoch:
            return
        for slot, number in numbers.items():
            if number > self._numbers.get(slot, -1):
                self._numbers[slot] = number
                for tenant_id in [tenant_id for tenant_id in self._tenants if slot_of(tenant_id) == slot]:
                    self._count -= len(self._tenants.pop(tenant_id))

    def of(self, epoch: int, tenant_id: int) -> Mapping[int, Entry]:
        """Return the tenant's entities that are known, by number; they hold at `number_of` its slot."""
        return self._tenants.get(tenant_id, {}) if epoch == self._epoch else {}

    def number_of(self, slot: int) -> int:
        """Return the number at which what is known of a slot holds. Raises KeyError if nothing is."""
        return self._numbers[slot]

    def rely(self, epoch: int, batches: Sequence[Numbered]) -> Reliance:
        """Return what is known of the entities of these batches.

        One batch that is not known, or that changes an entity, sends all of its slot to be looked up: what a group says
        of an entity is one wish, and only who does not raise a number can compare it."""
        found = [settled(one, self.of(epoch, one.batch.tenant.tenant_id)) for one in batches]
        slots = [slot_of(one.batch.tenant.tenant_id) for one in batches]
        unknown = {slot for slot, types in zip(slots, found, strict=True) if types is None}
        numbers = {slot: self._numbers[slot] for slot in set(slots) - unknown}
        return Reliance(numbers, [None if slot in unknown else one for slot, one in zip(slots, found, strict=True)])

    def put(self, epoch: int, numbers: Mapping[int, int], committed: Mapping[Identity, Known]) -> None:
        """Take these as known. `numbers` were read in the transaction that found or wrote them, before it did.

        So an entity that somebody changes afterwards, or did meanwhile, has a greater number than it is known by."""
        if epoch != self._epoch:
            return
        for (tenant_id, entity_id), entity in committed.items():
            slot = slot_of(tenant_id)
            if entity.deleted or numbers.get(slot, -1) != self._numbers.get(slot):
                continue
            known = self._tenants.setdefault(tenant_id, {})
            self._tenants.move_to_end(tenant_id)
            self._count += entity_id not in known
            known[entity_id] = Entry(entity.key or "", entity.asset_type_id or 0)
        self._forget()

    def _forget(self) -> None:
        while self._count > self._limit and len(self._tenants) > 1:
            self._count -= len(self._tenants.popitem(last=False)[1])
        if self._count > self._limit:
            [known] = self._tenants.values()
            for entity_id in list(known)[: self._count - self._limit]:
                del known[entity_id]
            self._count = self._limit


def settled(one: Numbered, known: Mapping[int, Entry]) -> Integers | None:
    """Return the asset type of each entity of a batch's dictionary, or None if one of them is unknown or changes."""
    batch = one.batch
    if batch.deletes or not known:
        return None
    try:
        found = [known[entity_id] for entity_id in batch.entity_ids.tolist()]
    except KeyError:
        return None
    keys, types = zip(*found, strict=True)
    if list(keys) != batch.entity_keys:
        return None
    stored = np.array(types, np.int64)
    wished = one.asset_type_ids
    changed = (wished > 0) & (wished != stored[batch.entity_indexes])
    return None if changed.any() else stored
