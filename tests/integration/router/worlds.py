"""A router over a real primary and replica, with one entity of one tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_query_router.app import running
from atlas_query_router.settings import Settings
from atlaskit.model import TypedValue, ValueType, entity_id_of
from atlaskit.rpc.errors import RemoteError, errors_from
from doubles.lag_monitor import LagMonitorDouble, lag_monitor
from grpc import aio

from .seeded import HASH_KEY, Database

NOON = datetime(2022, 10, 23, 12, tzinfo=UTC)
NOWHERE = "127.0.0.1:1"  # nothing listens there
DASHBOARD = fpb.FreshnessRequirement(use_case=fpb.USE_CASE_DASHBOARD)


@dataclass
class World:
    """A router over a real primary and replica."""

    database: Database
    monitor: LagMonitorDouble
    router: pb_grpc.QueryServiceAsyncStub
    tenant: int

    async def value(self, key: str, value: int) -> None:
        entity = entity_id_of(HASH_KEY, "e")
        await self.database.value(self.tenant, entity, key, NOON, TypedValue(ValueType.INT64, value))

    async def token(self) -> str:
        row = await self.database.connection.fetchval("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")
        return f"a1.1.{row:x}"

    async def get(self, freshness: fpb.FreshnessRequirement, seconds: float = 10.0) -> pb.GetEntityResponse:
        request = pb.GetEntityRequest(tenant_id=self.tenant, entity_key="e", freshness=freshness)
        return await self.router.GetEntity(request, timeout=seconds)

    async def refused(self, call: Awaitable[object]) -> RemoteError:
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        return errors_from(refused.value)


@asynccontextmanager
async def routed(
    database: Database, eventually: Callable[..., Awaitable[None]], **settings: Any
) -> AsyncIterator[World]:
    """Yield it once the router answers as a dashboard wants."""
    async with lag_monitor(database.primary("atlas_monitor")) as (monitor, address):
        chosen = Settings.model_validate(
            {
                "postgres_dsn": database.primary(),
                "replica_dsn": database.replica(),
                "clickhouse_url": f"http://{NOWHERE}/atlas",
                "lag_monitor": address,
                "drain": timedelta(seconds=1),
                **settings,
            }
        )
        async with running(chosen) as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            router: pb_grpc.QueryServiceAsyncStub = pb_grpc.QueryServiceStub(channel)
            tenant = await database.tenant()
            await database.entity(tenant, entity_id_of(HASH_KEY, "e"), "e")
            world = World(database, monitor, router, tenant)
            await world.value("k", 1)
            await database.replicated()

            async def answers() -> None:
                try:
                    await world.get(DASHBOARD)
                except aio.AioRpcError as error:
                    raise AssertionError(error) from error

            await eventually(answers)
            yield world
