"""The types that values of each attribute key had; a key with more than one is a conflict its owner may want to see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from atlaskit.postgres.history import Rows
from atlaskit.postgres.remembered import Remembered
from atlaskit.postgres.writer import Writer


class KeyType(NamedTuple):
    """One attribute of a tenant had a value of this type."""

    tenant_id: int
    attribute_id: int
    value_type: int


class KeyTypes:
    """Notes types that were not met before. Remembers up to `limit` that are committed, so that few are written twice.

    Shared by the writers of a process."""

    def __init__(self, limit: int = 200_000) -> None:
        self._known: Remembered[KeyType, None] = Remembered(limit)

    async def note(self, writer: Writer, rows: Rows) -> list[KeyType]:
        """Write the types of these rows that are not known, in the writer's transaction, and return them.

        Once that is committed they may be `remember`ed."""
        known = self.at(writer.epoch)
        new = [one for one in key_types_of(rows) if one not in known]
        if new:
            tenants, attributes, kinds = zip(*new, strict=True)
            await writer.fetch("insert_key_types", tenants, attributes, kinds)
        return new

    def at(self, epoch: int) -> Mapping[KeyType, None]:
        """Return the types that are remembered."""
        return self._known.at(epoch)

    def remember(self, epoch: int, committed: Iterable[KeyType]) -> None:
        """Take these as known; those remembered first are forgotten first."""
        self._known.put(epoch, dict.fromkeys(committed))


def key_types_of(rows: Rows) -> list[KeyType]:
    """Return each attribute and type of the rows once, sorted; deletes have none."""
    written = np.flatnonzero(rows.deletions == 0)
    # An attribute id is one of 31 bits and belongs to one tenant.
    codes, first = np.unique(rows.attribute_ids[written] << 3 | rows.value_types[written], return_index=True)
    tenants = rows.tenant_ids[written][first]
    return sorted(
        KeyType(tenant, code >> 3, code & 7) for tenant, code in zip(tenants.tolist(), codes.tolist(), strict=True)
    )
