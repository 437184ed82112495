"""Mode quorum from end to end: a real pair, a real monitor, a real router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_lag_monitor.app import running as monitor_running
from atlas_lag_monitor.settings import Settings as MonitorSettings
from atlas_local.postgres import PostgresCluster
from atlas_local.scratch import register_first_epoch, scratch_cluster
from atlas_query_router.app import running as router_running
from atlas_query_router.settings import Settings as RouterSettings
from atlaskit.rpc.errors import errors_from
from grpc import aio

from .seeded import HASH_KEY

NOWHERE = "127.0.0.1:1"  # nothing listens there
ALERT = fpb.FreshnessRequirement(use_case=fpb.USE_CASE_REALTIME_ALERT)
LIMIT = timedelta(milliseconds=100)


@dataclass
class World:
    cluster: PostgresCluster
    router: pb_grpc.QueryServiceAsyncStub
    tenant: int

    async def ask(self, freshness: fpb.FreshnessRequirement = ALERT) -> fpb.Freshness:
        request = pb.GetEntityRequest(tenant_id=self.tenant, entity_id=1, freshness=freshness)
        return (await self.router.GetEntity(request, timeout=5)).freshness

    async def reason(self) -> str:
        """Return why an alert is refused; empty if it is answered."""
        try:
            await self.ask()
        except aio.AioRpcError as error:
            return errors_from(error).remote_reason
        return ""


async def _seed(cluster: PostgresCluster) -> int:
    connection = await asyncpg.connect(cluster.primary.dsn())
    try:
        tenant: int = await connection.fetchval(
            "INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key) "
            "VALUES ('quorum', 'numbered', 1, 1000, $1) RETURNING tenant_id",
            HASH_KEY,
        )
        await connection.execute(
            "INSERT INTO entities (tenant_id, entity_id, shard, row_version) VALUES ($1, 1, $2, 1)", tenant, tenant % 10
        )
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")
        return tenant
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with scratch_cluster(replica=True) as cluster:
        await register_first_epoch(cluster.primary.dsn())
        tenant = await _seed(cluster)
        common: dict[str, Any] = {"clickhouse_url": f"http://{NOWHERE}/atlas", "drain": timedelta(seconds=1)}
        watching = MonitorSettings.model_validate(
            {
                **common,
                "postgres_dsn": cluster.primary.dsn("atlas_monitor"),
                "replica_dsn": cluster.replica.dsn("atlas_monitor"),
                "kafka_bootstrap": NOWHERE,
                "primary_mode": "quorum",
            }
        )
        async with monitor_running(watching) as lag:
            settings = RouterSettings.model_validate(
                {
                    **common,
                    "postgres_dsn": cluster.primary.dsn("atlas_reader"),
                    "replica_dsn": cluster.replica.dsn("atlas_reader"),
                    "lag_monitor": f"127.0.0.1:{lag}",
                }
            )
            async with router_running(settings) as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield World(cluster, pb_grpc.QueryServiceStub(channel), tenant)


async def test_while_the_standby_hangs_no_primary_claim_is_within_its_limit_and_it_comes_back_by_itself(
    world: World, eventually: Callable[..., Awaitable[None]]
) -> None:
    async def answered() -> None:
        assert await world.reason() == ""

    async def refused() -> None:
        assert await world.reason() == "NOT_FRESH_ENOUGH"

    await eventually(answered)
    assert (await world.ask()).staleness.ToTimedelta() <= LIMIT
    world.cluster.replica.pause()
    try:
        await eventually(refused, 5.0)
        # What is answered all the same is as old as the last commit that the standby took, and older with every moment.
        old = fpb.FreshnessRequirement(use_case=fpb.USE_CASE_REALTIME_ALERT, policy=fpb.FRESHNESS_POLICY_DEGRADE)
        ages = []
        for _ in range(10):
            assert await world.reason() == "NOT_FRESH_ENOUGH"
            ages.append((await world.ask(old)).staleness.ToTimedelta())
            await asyncio.sleep(0.05)  # the interval at which the claims are sampled
        assert all(age > LIMIT for age in ages)
        assert ages[-1] - ages[0] > timedelta(milliseconds=400)
    finally:
        world.cluster.replica.resume()
    await eventually(answered)


async def test_a_claim_in_mode_quorum_is_as_old_as_the_newest_acknowledged_beat_and_excludes_nothing(
    world: World, eventually: Callable[..., Awaitable[None]]
) -> None:
    async def answered() -> None:
        assert await world.reason() == ""

    await eventually(answered)
    certificate = await world.ask()
    assert certificate.source == fpb.DATA_SOURCE_PRIMARY
    assert timedelta(milliseconds=1) < certificate.staleness.ToTimedelta() <= LIMIT
    assert not certificate.excludes_failover_loss
