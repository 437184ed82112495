"""Monitors inside the test's process, over real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from atlas_lag_monitor.board import Board
from atlas_lag_monitor.monitor import monitoring
from atlas_lag_monitor.settings import Settings
from atlas_local.postgres import PostgresCluster
from atlaskit.clickhouse.pool import open_clickhouse
from atlaskit.clock import SystemClock
from atlaskit.postgres.dedicated import DedicatedSession, open_session

NOWHERE = "127.0.0.1:1"  # nothing listens there
ROLE = "atlas_monitor"


@asynccontextmanager
async def monitor(cluster: PostgresCluster, **changes: Any) -> AsyncIterator[Board]:
    """Run a monitor over the two servers; Kafka and ClickHouse are away unless `changes` say where they are."""
    values: dict[str, Any] = {
        "postgres_dsn": cluster.primary.dsn(ROLE),
        "replica_dsn": cluster.replica.dsn(ROLE),
        "clickhouse_url": f"http://{NOWHERE}/atlas",
        "kafka_bootstrap": NOWHERE,
    }
    settings = Settings.model_validate({**values, **changes})
    async with (
        open_clickhouse(settings.clickhouse_url, connections=2) as clickhouse,
        monitoring(settings, clickhouse, SystemClock()) as board,
    ):
        yield board


@asynccontextmanager
async def superuser(cluster: PostgresCluster) -> AsyncIterator[DedicatedSession]:
    """A session of the superuser on the primary."""
    async with open_session(cluster.primary.dsn(), "test") as session:
        yield session


async def register(cluster: PostgresCluster, epoch: int = 1) -> None:
    """Put the epoch of the primary's first timeline where the registrar would."""
    async with superuser(cluster) as session:
        await session.execute(
            "INSERT INTO epochs SELECT $1, system_identifier, 1 FROM pg_control_system() ON CONFLICT DO NOTHING", epoch
        )
