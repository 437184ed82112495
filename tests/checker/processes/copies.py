"""What each copy holds of a tenant, day by day: the newest delivery of every observation, and a fingerprint of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import asyncpg
from atlas_local.faults.failover import Pair
from atlas_local.stack import LocalStack
from atlaskit.clickhouse.pool import open_clickhouse
from checker.history import CopyCounted
from checker.processes.notebook import now

_LIMIT = timedelta(minutes=1)
_POSTGRES = """
SELECT DISTINCT ON (entity_id, attribute, event_time)
       entity_id, coalesce(attribute_key, '') AS attribute, event_time, deletion, coalesce(value_int, 0),
       entity_attributes.row_version
FROM entity_attributes LEFT JOIN attribute_keys USING (tenant_id, attribute_id)
WHERE tenant_id = $1
ORDER BY entity_id, attribute, event_time, entity_attributes.row_version DESC
"""
_CLICKHOUSE = """
SELECT entity_id, attribute_key, event_timestamp, deletion, value_int64, row_version
FROM entity_analytics_events FINAL WHERE tenant_id = {tenant:UInt32}
"""


async def counted(stack: LocalStack, pair: Pair, tenants: Sequence[int]) -> list[CopyCounted]:
    """Return the fingerprints of every copy, tenant and day. Raises the stores' errors."""
    found: list[CopyCounted] = []
    for copy, server in (("primary", pair.primary), ("replica", pair.standby)):
        connection = await asyncpg.connect(server.dsn())
        try:
            for tenant in tenants:
                rows = await connection.fetch(_POSTGRES, tenant)
                found += _by_day(copy, tenant, (tuple(row) for row in rows))
        finally:
            await connection.close()
    async with open_clickhouse(f"{stack.clickhouse_url}/atlas", call_limit=_LIMIT) as clickhouse:
        for tenant in tenants:
            found += _by_day("olap", tenant, await clickhouse.rows(_CLICKHOUSE, {"tenant": tenant}, limit=_LIMIT))
    return found


def _by_day(copy: str, tenant: int, rows: Iterable[Sequence[Any]]) -> list[CopyCounted]:
    lines = sorted((_day(row[2]), repr((*row[:2], _microseconds(row[2]), *row[3:]))) for row in rows)
    counted = []
    for day, group in groupby(lines, key=lambda line: line[0]):
        of_day = [line for _, line in group]
        digest = hashlib.sha256("\n".join(of_day).encode()).hexdigest()
        counted.append(CopyCounted(now(), copy, tenant, day, len(of_day), digest))
    return counted


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


async def surviving(pair: Pair, tenants: Sequence[int]) -> set[int]:
    """Return every value that the primary holds of these tenants."""
    connection = await asyncpg.connect(pair.primary.dsn())
    try:
        rows = await connection.fetch(
            "SELECT value_int FROM entity_attributes WHERE tenant_id = ANY ($1) AND value_int IS NOT NULL", tenants
        )
    finally:
        await connection.close()
    return {row["value_int"] for row in rows}
