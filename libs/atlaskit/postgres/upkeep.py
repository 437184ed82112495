"""What keeps the schema going: partitions ahead of time, old answers forgotten."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from atlaskit.postgres.pool import Session
from atlaskit.sql import load

SQL = load(Path(__file__).parent / "queries")


async def ensure_partitions(session: Session, months_ahead: int, days_ahead: int, *, dry_run: bool) -> list[str]:
    """Create the partitions that are missing from now on, and return their names. `dry_run`: name them only."""
    return [row[0] for row in await session.fetch(SQL["ensure_partitions"], months_ahead, days_ahead, dry_run)]


async def count_old_requests(session: Session, older_than: timedelta) -> int:
    """Return the number of stored answers that are older than this."""
    return int(await session.value(SQL["count_old_requests"], older_than))


async def forget_requests(session: Session, older_than: timedelta, batch: int) -> int:
    """Delete up to `batch` stored answers that are older than this, and return how many there were."""
    return int((await session.execute(SQL["forget_requests"], older_than, batch)).removeprefix("DELETE "))
