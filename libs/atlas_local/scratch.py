"""A PostgreSQL of one's own, for as long as a test or a benchmark runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from atlaskit.postgres.dedicated import open_session
from atlaskit.postgres.epochs import register_epoch
from atlaskit.postgres.probes import look_at_primary

from atlas_local.migrations import migrate_primary
from atlas_local.ports import assign_in
from atlas_local.postgres import PostgresCluster, PostgresTuning

_LIMIT = timedelta(seconds=10)


@asynccontextmanager
async def scratch_cluster(tuning: PostgresTuning | None = None, *, replica: bool) -> AsyncIterator[PostgresCluster]:
    """Yield a primary with the newest schema and the roles' passwords, and its replica if asked; nothing of it stays.

    No epoch is registered: what only writes calls `register_first_epoch`. Raises PartFailed if a server does not start.
    """
    directory = Path(tempfile.mkdtemp(prefix="atlas-scratch-"))
    directory.chmod(0o711)  # PostgreSQL's user must get through
    logs = directory / "logs"
    logs.mkdir()
    ports = assign_in(directory, ("primary", "replica"), {})
    cluster = PostgresCluster(directory / "postgres", logs, ports, tuning or PostgresTuning())
    try:
        await cluster.start_primary()
        await migrate_primary(cluster.primary, logs)
        if replica:
            await cluster.start_replica()
        yield cluster
    finally:
        await cluster.replica.stop()
        await cluster.primary.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def register_first_epoch(dsn: str) -> None:
    """Register epoch 1 for the primary at `dsn`, as its superuser and in that database: what a lag monitor would do."""
    async with open_session(dsn, "atlas-scratch") as session:
        look = await look_at_primary(session, _LIMIT)
        assert look.identity is not None, "only a primary has an epoch"
        await register_epoch(session, 1, look.identity, _LIMIT)
