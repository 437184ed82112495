"""Which tables and shards this store was ever given rows of."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files

from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse
from atlaskit.clickhouse.watermark import Place
from atlaskit.sql import load

_SQL = load(files("atlaskit.clickhouse") / "queries")


async def marked_places(clickhouse: ClickHouse, limit: timedelta = CALL_LIMIT) -> frozenset[Place]:
    """Return each table and shard with a watermark of any incarnation. It proves nothing; its absence means no data."""
    return frozenset((table, shard) for table, shard in await clickhouse.rows(_SQL["marked_places"], limit=limit))
