"""A primary and a replica of these tests' own, since they are paused, stopped and promoted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import atlas_local
import atlaskit
import pytest
from atlas_local import oneshot
from atlas_local.migrations import dbmate
from atlas_local.ports import assign_in
from atlas_local.postgres import PostgresCluster, PostgresTuning
from atlas_local.process import Command

MONITOR = "atlas_monitor"


@asynccontextmanager
async def two_servers() -> AsyncIterator[PostgresCluster]:
    """A primary with the schema, and its replica; nothing is left of them at the end."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-lag-"))
    directory.chmod(0o711)  # PostgreSQL's user must get through
    ports = assign_in(directory, ("primary", "replica"), {})
    (directory / "logs").mkdir()
    cluster = PostgresCluster(directory / "postgres", directory / "logs", ports, PostgresTuning())
    try:
        await cluster.start_primary()
        migrations = Path(atlaskit.__file__).parent / "postgres" / "schema"
        arguments = [dbmate(), "--no-dump-schema", "--migrations-dir", str(migrations), "up"]
        command = Command(arguments, {"DATABASE_URL": f"{cluster.primary.dsn()}?sslmode=disable"})
        await oneshot.run("dbmate", command, directory / "logs" / "dbmate.log", seconds=60.0)
        await cluster.primary.run_file(Path(atlas_local.__file__).parent / "sql" / "set_role_passwords.sql")
        await cluster.start_replica()
        yield cluster
    finally:
        for server in (cluster.replica, cluster.primary):
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="package")
async def cluster() -> AsyncIterator[PostgresCluster]:
    """Shared by the tests of this package; what one breaks it heals."""
    async with two_servers() as running:
        yield running
