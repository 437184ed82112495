"""The epochs that ClickHouse has seen."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files

from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse
from atlaskit.position import Lsn
from atlaskit.sql import load

_SQL = load(files("atlaskit.clickhouse") / "queries")


async def greatest_epoch(clickhouse: ClickHouse, limit: timedelta = CALL_LIMIT) -> int:
    """Return the greatest epoch of all watermarks ever published, or 0."""
    rows = await clickhouse.rows(_SQL["greatest_epoch"], limit=limit)
    return int(rows[0][0]) if rows else 0


async def greatest_position(clickhouse: ClickHouse, epoch: int, limit: timedelta = CALL_LIMIT) -> Lsn:
    """Return the greatest position of all watermarks ever published in an epoch; position 0 if there is none."""
    rows = await clickhouse.rows(_SQL["greatest_position"], {"epoch": epoch}, limit=limit)
    return Lsn(int(rows[0][0]) if rows else 0)
