"""A primary of its own for these tests, and a fresh database for each; ingest runs in the test or as a process."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import asyncpg
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1 import ingest_service_pb2_grpc as pb2_grpc
from atlas_ingest.app import running
from atlas_ingest.settings import Settings
from atlas_local.ports import HOST, assign_in
from atlas_local.postgres import DATABASE, PostgresServer, PostgresTuning
from atlas_local.process import ChildProcess, Command
from atlas_local.scratch import register_first_epoch, scratch_cluster
from grpc import aio
from grpc_health.v1 import health_pb2


@dataclass(frozen=True)
class Database:
    """One database on the primary."""

    primary: PostgresServer
    name: str

    def dsn(self, role: str) -> str:
        return self.primary.dsn(role, self.name)

    async def fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.primary.dsn(database=self.name))
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close()

    async def value(self, sql: str, *values: object) -> object:
        return (await self.fetch(sql, *values))[0][0]


@dataclass(frozen=True)
class Client:
    """Stubs of one ingest."""

    channel: aio.Channel
    writes: pb2_grpc.IngestServiceAsyncStub
    tenants: pb2_grpc.TenantServiceAsyncStub

    async def tenant(self, *, keyed: bool = True, quota: int = 0, spread: int = 0) -> int:
        identity = pb2.ENTITY_IDENTITY_KEYED if keyed else pb2.ENTITY_IDENTITY_NUMBERED
        request = pb2.CreateTenantRequest(
            name=str(uuid.uuid4()), entity_identity=identity, attribute_key_quota=quota, shard_spread=spread
        )
        return (await self.tenants.CreateTenant(request, timeout=10)).tenant.tenant_id


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[Client]:
    async with aio.insecure_channel(address) as channel:
        yield Client(channel, pb2_grpc.IngestServiceStub(channel), pb2_grpc.TenantServiceStub(channel))


@pytest.fixture(scope="package")
async def primary() -> AsyncIterator[PostgresServer]:
    tuning = PostgresTuning(shared_buffers="64MB", max_wal_size="1GB")
    async with scratch_cluster(tuning, replica=False) as cluster:
        yield cluster.primary


@pytest.fixture
async def database(primary: PostgresServer) -> AsyncIterator[Database]:
    """A fresh database with the schema, of epoch 1."""
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(primary.dsn(database="postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        fresh = Database(primary, name)
        await register_first_epoch(fresh.primary.dsn(database=name))
        yield fresh
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture
async def ingest(database: Database) -> AsyncIterator[Client]:
    """Ingest in this process, over the fresh database."""
    async with (
        running(Settings(postgres_dsn=database.dsn("atlas_ingest"))) as port,
        client_of(f"{HOST}:{port}") as client,
    ):
        yield client


Spawn = Callable[..., AbstractAsyncContextManager[tuple[ChildProcess, Client]]]


@pytest.fixture
def spawned(tmp_path: Path) -> Spawn:
    """Ingest as a process, which can be killed; none is left behind."""

    @asynccontextmanager
    async def spawn(
        database: Database, settings: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[tuple[ChildProcess, Client]]:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        address = f"{HOST}:{assign_in(folder, ('ingest',), {})['ingest']}"
        environment = {"ATLAS_POSTGRES_DSN": database.dsn("atlas_ingest"), "ATLAS_ADDRESS": address, **settings}
        command = Command([sys.executable, "-m", "atlas_ingest"], environment)
        process = ChildProcess("ingest", command, folder / "ingest.log", lambda: _serves(address), 30.0)
        await process.start()
        try:
            async with client_of(address) as client:
                yield process, client
        finally:
            process.kill()

    return spawn


async def _serves(address: str) -> bool:
    async with aio.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(service="atlas.ingest.v1.IngestService"), timeout=1)
        except aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
