"""A primary and a replica of these tests' own, since they are paused, stopped and promoted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from atlas_local.postgres import PostgresCluster
from atlas_local.scratch import scratch_cluster

MONITOR = "atlas_monitor"


@pytest.fixture(scope="package")
async def cluster() -> AsyncIterator[PostgresCluster]:
    """Shared by the tests of this package; what one breaks it heals."""
    async with scratch_cluster(replica=True) as running:
        yield running
