"""Rows that must go: those of transactions that the primary lost in a failover."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from importlib.resources import files

from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse
from atlaskit.clickhouse.watermark import Place
from atlaskit.sql import load

_SQL = load(files("atlaskit.clickhouse") / "queries")
# The table here for each captured one; dictionaries have no shard.
_STATEMENT = {
    "entity_attributes": "purge_history",
    "entities": "purge_entities",
    "entity_hot_attributes": "purge_hot_attributes",
    "attribute_keys": "purge_attribute_keys",
    "asset_types": "purge_asset_types",
}


async def identities_of(
    clickhouse: ClickHouse, shard: int, transactions: Collection[int], limit: timedelta = CALL_LIMIT
) -> list[tuple[int, int, str, int]]:
    """Return tenant, entity, key and event time (microseconds) of what these transactions wrote to the history.

    A transaction is named by what its row versions begin with: epoch and number as one.
    """
    asked = {"shard": shard, "transactions": list(transactions)}
    return [
        (row[0], row[1], row[2], row[3]) for row in await clickhouse.rows(_SQL["identities_of"], asked, limit=limit)
    ]


async def places_holding(
    clickhouse: ClickHouse, transactions: Collection[int], limit: timedelta = CALL_LIMIT
) -> frozenset[Place]:
    """Return each table (by its name in PostgreSQL) and shard that has rows of one of these transactions."""
    rows = await clickhouse.rows(_SQL["places_holding"], {"transactions": list(transactions)}, limit=limit)
    return frozenset((table, shard) for table, shard in rows)


async def purge(
    clickhouse: ClickHouse, place: Place, transactions: Collection[int], limit: timedelta = CALL_LIMIT
) -> None:
    """Return once no row of these transactions is left in a table and shard; repeatable."""
    table, shard = place
    asked = {"shard": shard, "transactions": list(transactions)}
    await clickhouse.execute(_SQL[_STATEMENT[table]], asked, limit=limit)
