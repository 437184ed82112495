"""A primary with a replica of these tests' own, a fresh database for each test, and rows put there as ingest would."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import atlas_local
import atlaskit
import pytest
from atlas_local import oneshot
from atlas_local.migrations import dbmate
from atlas_local.ports import assign_in
from atlas_local.postgres import DATABASE, PostgresCluster, PostgresTuning
from atlas_local.process import Command

from .seeded import Database

REGISTER_EPOCH = """
    INSERT INTO epochs (epoch, system_identifier, timeline)
    SELECT 1, system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    FROM pg_control_system()
"""


@pytest.fixture(scope="package")
async def cluster() -> AsyncIterator[PostgresCluster]:
    directory = Path(tempfile.mkdtemp(prefix="atlas-router-"))
    directory.chmod(0o711)  # PostgreSQL's user must get through
    ports = assign_in(directory, ("primary", "replica"), {})
    (directory / "logs").mkdir()
    cluster = PostgresCluster(directory / "postgres", directory / "logs", ports, PostgresTuning(shared_buffers="64MB"))
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


@pytest.fixture
async def database(cluster: PostgresCluster) -> AsyncIterator[Database]:
    name = f"test_{uuid.uuid4().hex}"
    maintenance = await asyncpg.connect(cluster.primary.dsn(database="postgres"))
    try:
        await maintenance.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        connection = await asyncpg.connect(cluster.primary.dsn(database=name))
        await connection.execute(REGISTER_EPOCH)
        yield Database(cluster, name, connection)
        await connection.close()
        await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await maintenance.close()
