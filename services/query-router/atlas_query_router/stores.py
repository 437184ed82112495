"""The connections of each class of reads at each store, and the limits that go with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.postgres.pool import Pool, open_pool

from atlas_query_router.classes import QueryClass
from atlas_query_router.settings import Settings
from atlas_query_router.tenant_gate import TenantLimits


@dataclass(frozen=True, slots=True)
class Stores:
    """Connections of one class."""

    primary: Pool
    replica: Pool
    clickhouse: ClickHouse


@dataclass(frozen=True, slots=True)
class _Share:
    primary: int
    replica: int
    clickhouse: int
    limit: timedelta
    rows: int
    memory: int


@asynccontextmanager
async def open_stores(settings: Settings, kind: QueryClass) -> AsyncIterator[Stores]:
    """Yield the connections of a class; none is opened before it is used, so a store may be away."""
    share, name = _share(settings, kind), f"atlas-query-router-{kind}"
    url = settings.clickhouse_url.get_secret_value()
    async with AsyncExitStack() as stack:

        async def pool(dsn: str, connections: int) -> Pool:
            opened = open_pool(
                dsn, max_size=connections, application_name=name, statement_limit=share.limit, leaves_nothing=True
            )
            return await stack.enter_async_context(opened)

        yield Stores(
            await pool(settings.postgres_dsn.get_secret_value(), share.primary),
            await pool(settings.replica_dsn.get_secret_value(), share.replica),
            await stack.enter_async_context(
                open_clickhouse(
                    url,
                    connections=share.clickhouse,
                    call_limit=share.limit,
                    settings=clickhouse_settings(share),
                    tenants_setting=settings.clickhouse_tenants_setting,
                )
            ),
        )


def clickhouse_settings(share: _Share) -> dict[str, Any]:
    """Return what bounds one query: rows read, memory held, and no partial answer where a bound is met."""
    return {
        "max_rows_to_read": share.rows,
        "read_overflow_mode": "throw",
        "max_memory_usage": share.memory,
        "timeout_overflow_mode": "throw",
    }


def tenant_limits(settings: Settings) -> dict[str, TenantLimits]:
    """Return how many reads of each class a tenant may have."""
    return {
        QueryClass.OPERATIONAL: TenantLimits(settings.tenant_operational_reads, settings.tenant_operational_waiting),
        QueryClass.ANALYTICAL: TenantLimits(settings.tenant_analytical_reads, settings.tenant_analytical_waiting),
    }


def _share(settings: Settings, kind: QueryClass) -> _Share:
    if kind is QueryClass.OPERATIONAL:
        return _Share(
            settings.primary_connections,
            settings.replica_connections,
            settings.clickhouse_connections,
            settings.operational_limit,
            settings.operational_rows,
            settings.operational_memory,
        )
    return _Share(
        settings.primary_analytical_connections,
        settings.replica_analytical_connections,
        settings.clickhouse_analytical_connections,
        settings.statement_limit,
        settings.analytical_rows,
        settings.analytical_memory,
    )
