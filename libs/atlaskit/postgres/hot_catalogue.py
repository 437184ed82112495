"""What a process knows of the catalogue of promoted attributes.

PostgreSQL counts the changes of the catalogue by slot of tenants, in the transaction that makes them
(`entity_changes`). A transaction reads that number as it opens, relies on what is known at it, and asks for it again
in its last statement. So a promotion loses no write: whoever did not know of it either comes to nothing, or holds the
lock of its tenants still when the promotion is committed, and the backfill waits for these (`hot_backfill`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from atlaskit.postgres.hot_slots import HotMapping, mapping_from
from atlaskit.postgres.hot_values import TenantMappings
from atlaskit.postgres.slots import slot_of
from atlaskit.postgres.transaction import Transaction
from atlaskit.postgres.writer import Writer


class _Held(NamedTuple):
    number: int
    mappings: TenantMappings


class HotCatalogue:
    """The mappings of up to `limit` tenants in the newest epoch; those met last stay. Writers of a process share it."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._epoch = 0
        self._numbers: dict[int, int] = {}
        self._tenants: OrderedDict[int, _Held] = OrderedDict()

    def look(self, epoch: int, numbers: Mapping[int, int]) -> None:
        """Take the numbers of these slots as the present ones, if they are greater than those known."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._numbers.clear()
            self._tenants.clear()
        if epoch < self._epoch:
            return
        for slot, number in numbers.items():
            self._numbers[slot] = max(number, self._numbers.get(slot, -1))

    def of(self, epoch: int, tenant_id: int) -> TenantMappings | None:
        """Return the mappings of a tenant at the present number of its slot, or None if they are not known."""
        held = self._tenants.get(tenant_id) if epoch == self._epoch else None
        if held is None or held.number != self._numbers.get(slot_of(tenant_id)):
            return None
        return held.mappings

    def put(self, epoch: int, numbers: Mapping[int, int], found: Mapping[int, TenantMappings]) -> None:
        """Take these as known. `numbers` were read before them: an entry can be newer than its number, never older."""
        if epoch != self._epoch:
            return
        for tenant_id, mappings in found.items():
            self._tenants[tenant_id] = _Held(numbers[slot_of(tenant_id)], mappings)
            self._tenants.move_to_end(tenant_id)
        while len(self._tenants) > self._limit:
            self._tenants.popitem(last=False)

    async def at(self, writer: Writer, opened: Transaction, tenants: Collection[int]) -> dict[int, TenantMappings]:
        """Return the mappings of the tenants that have some, as the open transaction may rely on them."""
        epoch = writer.epoch
        self.look(epoch, opened.catalogues)
        unknown = [tenant_id for tenant_id in tenants if self._at(epoch, tenant_id, opened) is None]
        if unknown:
            found: dict[int, list[HotMapping]] = {tenant_id: [] for tenant_id in unknown}
            for row in await writer.fetch("hot_mappings", unknown):
                found[row["tenant_id"]].append(mapping_from(row))
            taken = {tenant_id: TenantMappings.of(mappings) for tenant_id, mappings in found.items()}
            self.put(epoch, opened.catalogues, taken)
        else:
            taken = {}
        every = {tenant_id: taken.get(tenant_id) or self._at(epoch, tenant_id, opened) for tenant_id in tenants}
        return {tenant_id: mappings for tenant_id, mappings in every.items() if mappings}

    def _at(self, epoch: int, tenant_id: int, opened: Transaction) -> TenantMappings | None:
        # At the number that this transaction read; another one may have read a greater one meanwhile.
        held = self._tenants.get(tenant_id) if epoch == self._epoch else None
        if held is None or held.number != opened.catalogues[slot_of(tenant_id)]:
            return None
        return held.mappings
