"""Grants to read several tenants in one question. Whoever owns the database gives and takes them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from atlaskit.postgres.pool import CONNECT_LIMIT, Pool, Session
from atlaskit.sql import load

SQL: Final = load(Path(__file__).parent / "queries")


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant; `tenant_id` None stands for every tenant, `revoked_at` None for one that is in force."""

    caller: str
    tenant_id: int | None
    granted_at: datetime
    granted_by: str
    revoked_at: datetime | None
    revoked_by: str | None


async def granted(pool: Pool, caller: str, tenant_ids: Collection[int], limit: timedelta = CONNECT_LIMIT) -> set[int]:
    """Return those of the tenants that a caller may read together with others, as the server has it now."""
    async with pool.lease(limit) as session:
        rows = await session.fetch(SQL["granted_tenants"], caller, list(tenant_ids), limit=limit)
    found = {row["tenant_id"] for row in rows}
    return set(tenant_ids) if None in found else found


async def add(session: Session, caller: str, tenant_id: int | None, by: str) -> bool:
    """Give a grant, `tenant_id` None for every tenant. Returns False if it was in force already."""
    return await session.value(SQL["add_grant"], caller, tenant_id, by) is not None


async def revoke(session: Session, caller: str, tenant_id: int | None, by: str) -> bool:
    """Take this very grant back: one for every tenant is not narrowed. Returns False if there was none."""
    return await session.value(SQL["revoke_grant"], caller, tenant_id, by) is not None


async def listed(session: Session, caller: str | None = None, most: int = 1000) -> list[Grant]:
    """Return the newest grants, revoked ones too; of one caller, or of all."""
    return [Grant(**row) for row in await session.fetch(SQL["list_grants"], caller, most)]
