"""Counts of a set in PostgreSQL's primary, in its replica and in ClickHouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from atlaskit.clickhouse.pool import open_clickhouse
from atlaskit.postgres.pool import open_pool
from atlaskit.sql import load

_QUERIES = load(Path(__file__).parent / "queries")
_LIMIT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Held:
    """What a copy holds of a set. `values` are identities: a redelivery or a correction adds none."""

    values: int
    observations: int
    entities: int
    tenants: int
    keys: int


async def count_copies(primary_dsn: str, replica_dsn: str, clickhouse_url: str, prefix: str) -> Mapping[str, Held]:
    """Return what each copy holds of the tenants whose names begin with `prefix`, by the copy's name.

    The roles of the DSNs must see every tenant. One count takes at most ten minutes. Raises the stores' errors.
    """
    held = {}
    for copy, dsn in (("primary", primary_dsn), ("replica", replica_dsn)):
        async with open_pool(dsn, max_size=1, statement_limit=_LIMIT) as pool, pool.lease() as session:
            row = await session.row(_QUERIES["held_by_postgres"], prefix, limit=_LIMIT)
            assert row is not None
            held[copy] = Held(row["stored_values"], row["observations"], row["entities"], row["tenants"], row["keys"])
            tenants = [found["tenant_id"] for found in await session.fetch(_QUERIES["tenants_of_set"], prefix)]
    async with open_clickhouse(clickhouse_url, call_limit=_LIMIT) as clickhouse:
        found = await clickhouse.rows(_QUERIES["held_by_clickhouse"], {"tenants": tenants}, limit=_LIMIT)
    held["olap"] = Held(*found[0])
    return held


async def count_corrected(dsn: str, prefix: str) -> int:
    """Return of how many observations PostgreSQL's history holds a value that changed from one delivery to another.

    Of tenants whose names begin with `prefix`. The role must see every tenant. Raises the store's errors.
    """
    async with open_pool(dsn, max_size=1, statement_limit=_LIMIT) as pool, pool.lease() as session:
        return int(await session.value(_QUERIES["corrected_in_postgres"], prefix, limit=_LIMIT))
