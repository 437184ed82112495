"""What the sink asks the primary: the texts of dictionary ids, and the cluster and timeline of an epoch."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from importlib.resources import files

from atlaskit.position import SourceIdentity
from atlaskit.postgres.pool import Pool
from atlaskit.sql import load

_SQL = load(files("atlaskit.postgres") / "queries")

# Tenant and id; the tenant of a source type is 0.
TermId = tuple[int, int]


class TermKind(StrEnum):
    """A dictionary; the text is the name of its table."""

    ATTRIBUTE_KEY = "attribute_keys"
    ASSET_TYPE = "asset_types"
    SOURCE_TYPE = "source_types"


async def texts_of(pool: Pool, kind: TermKind, wanted: Collection[TermId]) -> dict[TermId, str]:
    """Return the texts of these ids; one that is not committed is absent."""
    tenants, ids = [tenant for tenant, _ in wanted], [number for _, number in wanted]
    async with pool.lease() as session:
        rows = await session.fetch(_SQL[f"{kind.value}_by_id"], tenants, ids)
    return {(row["tenant_id"], row["term_id"]): row["text"] for row in rows}


async def source_of_epoch(pool: Pool, epoch: int) -> SourceIdentity | None:
    """Return the cluster and timeline that an epoch number was registered for, or None."""
    async with pool.lease() as session:
        row = await session.row(_SQL["source_of_epoch"], epoch)
    return SourceIdentity(row["system_identifier"], row["timeline"]) if row else None
