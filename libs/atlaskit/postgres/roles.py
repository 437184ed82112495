"""The roles that services log in as."""

from __future__ import annotations

from atlaskit.postgres.pool import Session
from atlaskit.postgres.probes import SQL


async def set_password(session: Session, role: str, password: str) -> None:
    """Give a role this password. The statement is made by the server, which quotes both. Raises as `Session` does."""
    await session.execute(await session.value(SQL["statement_that_sets_a_password"], role, password))
