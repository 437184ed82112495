"""Reads across tenants: to callers with a grant for each tenant, given and taken by the owner of the database alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest
from atlas.query.v1 import query_service_pb2 as pb
from atlas_cli.__main__ import app
from grpc import StatusCode
from typer.testing import CliRunner

from .seeded import Database
from .worlds import World, routed

AGE = timedelta(milliseconds=300)


@pytest.fixture
async def world(database: Database, eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[World]:
    async with routed(database, eventually, grants_age=AGE) as world:
        yield world


async def asked(world: World, tenants: list[int], caller: str = "") -> tuple[str, str]:
    """Reason and metadata of the refusal of a read of these tenants; empty for what passed the door."""
    request = pb.AggregateAttributeRequest(tenant_ids=tenants, attribute_key="k")
    request.aggregations.add(function=pb.AGGREGATE_FUNCTION_COUNT)
    metadata = (("x-atlas-caller", caller),) if caller else ()
    call = world.router.AggregateAttribute(request, timeout=10, metadata=metadata)
    if await call.code() is StatusCode.OK:
        return "", ""
    told = await world.refused(call)
    if told.remote_reason == "TENANT_NOT_GRANTED":
        assert told.code is StatusCode.PERMISSION_DENIED
        return told.remote_reason, told.remote_metadata["tenant_id"]
    raise AssertionError(told)


async def grants(world: World, *arguments: str) -> str:
    """What `atlas grants` says, as the owner of the database runs it."""
    dsn = world.database.cluster.primary.dsn(database=world.database.name)
    environment = {"ATLAS_ADMIN_DSN": dsn, "USER": "the-owner", "COLUMNS": "160"}
    # On a thread, since a command has an event loop of its own.
    ended = await asyncio.to_thread(CliRunner().invoke, app, ["grants", *arguments], env=environment)
    assert ended.exit_code == 0, ended.output
    return ended.output


async def test_a_read_across_tenants_needs_a_grant_for_each_and_ends_with_it(
    world: World, eventually: Callable[..., Awaitable[None]]
) -> None:
    one, other = world.tenant, await world.database.tenant()
    assert await asked(world, [one, other]) == ("TENANT_NOT_GRANTED", str(one))
    assert await asked(world, [other, one], "reports") == ("TENANT_NOT_GRANTED", str(other))
    await grants(world, "add", "--caller", "reports", "--tenant", str(one))
    assert await asked(world, [one, other], "reports") == ("TENANT_NOT_GRANTED", str(other))
    await grants(world, "add", "--caller", "reports", "--all")
    assert await asked(world, [one, other], "reports") == ("", "")
    assert await asked(world, [one, other], "somebody") == ("TENANT_NOT_GRANTED", str(one))
    assert "in force already" in await grants(world, "add", "--caller", "reports", "--all")
    await grants(world, "revoke", "--caller", "reports", "--all")

    async def refused() -> None:
        assert await asked(world, [one, other], "reports") == ("TENANT_NOT_GRANTED", str(other))

    await eventually(refused, 5)
    listed = await grants(world, "list", "--caller", "reports")
    assert "the-owner" in listed
    assert [line.count("the-owner") for line in listed.splitlines() if "reports" in line] == [2, 1]


async def test_a_service_cannot_grant_itself_anything(database: Database) -> None:
    for role in ("atlas_reader", "atlas_ingest", "atlas_sink", "atlas_monitor", "atlas_keeper"):
        connection = await asyncpg.connect(database.primary(role))
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("INSERT INTO tenant_grants (caller, granted_by) VALUES ('me', 'me')")
        finally:
            await connection.close()
