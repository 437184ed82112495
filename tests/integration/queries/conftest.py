"""One set of rows, in a primary, in its replica, in ClickHouse and in a plain Python model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from atlas_local.postgres import PostgresTuning
from atlas_local.scratch import scratch_cluster
from atlaskit.clickhouse.pool import open_clickhouse
from atlaskit.postgres.pool import open_pool
from doubles.front import Front, running

from .copies import Copies, fill_clickhouse, fill_postgres, replicated
from .dataset import dataset
from .slots import promote


@pytest.fixture(scope="package")
async def copies(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Copies]:
    entities, rows = dataset()
    directory: Path = tmp_path_factory.mktemp("front")
    async with scratch_cluster(PostgresTuning(shared_buffers="64MB"), replica=True) as cluster:
        connection = await asyncpg.connect(cluster.primary.dsn())
        await fill_postgres(connection, entities, rows)
        await promote(cluster.primary)
        await replicated(connection, cluster)
        await connection.close()
        for front in running(Front(directory)):
            front.migrate()
            async with (
                open_clickhouse(f"{front.url}/atlas") as clickhouse,
                open_pool(cluster.primary.dsn("atlas_reader"), max_size=2) as primary,
                open_pool(cluster.replica.dsn("atlas_reader"), max_size=2) as replica,
            ):
                await fill_clickhouse(clickhouse, entities, rows)
                yield Copies(primary, replica, clickhouse)
