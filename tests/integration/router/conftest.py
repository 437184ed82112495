"""A primary with a replica of these tests' own, a fresh database for each test, and rows put there as ingest would."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from atlas_local.postgres import DATABASE, PostgresCluster, PostgresTuning
from atlas_local.scratch import register_first_epoch, scratch_cluster

from .seeded import Database
from .worlds import World, routed


@pytest.fixture(scope="package")
async def cluster() -> AsyncIterator[PostgresCluster]:
    async with scratch_cluster(PostgresTuning(shared_buffers="64MB"), replica=True) as running:
        yield running


@pytest.fixture
async def database(cluster: PostgresCluster) -> AsyncIterator[Database]:
    name = f"test_{uuid.uuid4().hex}"
    maintenance = await asyncpg.connect(cluster.primary.dsn(database="postgres"))
    try:
        await maintenance.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        await register_first_epoch(cluster.primary.dsn(database=name))
        connection = await asyncpg.connect(cluster.primary.dsn(database=name))
        yield Database(cluster, name, connection)
        await connection.close()
        await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await maintenance.close()


@pytest.fixture
async def world(database: Database, eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[World]:
    async with routed(database, eventually) as world:
        yield world
