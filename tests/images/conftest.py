"""A stack that only what was installed from wheels has touched: prepared by the jobs, served by the services."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from atlas_client import AtlasClient, Identity, Tenant
from atlas_local.launch import Launched, stores_of
from atlas_local.oneshot import run
from atlas_local.platform import SERVICES, running_platform
from atlas_local.ports import assign_in
from atlas_local.process import Command
from atlas_local.stack import LocalStack, StackOptions, local_stack
from images.built import copy_of_the_context, install_all, make_builder, make_wheels

_ROLES = ("atlas_ingest", "atlas_reader", "atlas_monitor", "atlas_sink", "atlas_keeper", "atlas_debezium")
# What Python is given to become another program, with the arguments that follow.
_BECOME = ("-I", "-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the two wheels."""
    context = copy_of_the_context(tmp_path_factory.mktemp("context"))
    make_builder(context)
    return make_wheels(context)


@pytest.fixture(scope="session")
def environments(wheels: Path) -> dict[str, Path]:
    """The virtual environment of each service and job, as its image has it."""
    return install_all(wheels.parent, wheels)


@pytest.fixture(scope="module")
async def stack(environments: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """The embedded stack, prepared from nothing by the jobs `migrate`, twice, and `keeper`."""
    words = tmp_path_factory.mktemp("secrets")
    async with local_stack(StackOptions()) as running:
        for role in _ROLES:
            (words / role).write_text(f"{running.postgres.password}\n")
        (words / "dsn").write_text(f"{running.primary_dsn()}?sslmode=disable\n")
        settings = {
            "ATLAS_POSTGRES_DSN_FILE": str(words / "dsn"),
            "ATLAS_CLICKHOUSE_URL": f"{running.clickhouse_url}/atlas",
            "ATLAS_KAFKA_BOOTSTRAP": running.kafka_bootstrap,
            "ATLAS_CONNECT_URL": running.connect_url,
            "ATLAS_ROLE_PASSWORDS": str(words),
            "ATLAS_UNAVAILABLE_VALUE_PLACEHOLDER": running.secret,
        }
        migrate = Command([str(environments["migrate"] / "bin" / "atlas-migrate")], settings)
        first = await run("migrate", migrate, words / "migrate.log", seconds=150)
        assert "connect: atlas-postgres runs" in first
        again = await run("migrate", migrate, words / "migrate.log")
        assert "Applied" not in again
        keeper = Command(
            [str(environments["keeper"] / "bin" / "atlas-keeper")],
            {"ATLAS_POSTGRES_DSN": running.primary_dsn("atlas_keeper")},
        )
        assert "partition" in await run("keeper", keeper, words / "keeper.log")
        yield running


@pytest.fixture(scope="module")
async def atlas(
    stack: LocalStack, environments: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Launched]:
    """Every service, started by its entry point from the environment of its image."""
    folder = tmp_path_factory.mktemp("services")
    programs = {name: (*_BECOME, str(environments[name] / "bin" / f"atlas-{name}")) for name in SERVICES}
    ports = assign_in(folder, SERVICES, {})
    async with running_platform(stores_of(stack), ports, folder, sample_ratio=1.0, programs=programs) as platform:
        yield Launched(stack, platform)


@pytest.fixture(scope="module")
async def client(atlas: Launched) -> AsyncIterator[AtlasClient]:
    """The client library, connected to these services."""
    async with AtlasClient.connect(ingest=atlas.ingest, query=atlas.query) as connected:
        yield connected


_numbers = itertools.count(1)


@pytest.fixture
def new_tenant(client: AtlasClient) -> Callable[..., Awaitable[Tenant]]:
    """Register a tenant that is this test's own."""

    async def register(identity: Identity = Identity.KEYED) -> Tenant:
        return await client.create_tenant(f"test/{next(_numbers)}/", identity)

    return register
