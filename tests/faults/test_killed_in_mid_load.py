"""A part is killed with -9 while rows are on their way: afterwards every copy holds each of them once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from atlas_cli.copies import Held, count_copies
from atlas_client import AtlasClient, CallFailed, ColumnBuilder, Source, Tenant
from atlas_local.launch import Launched

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
BATCHES, ROWS = 40, 500
PATIENCE = timedelta(seconds=120)


async def write_one(client: AtlasClient, tenant: Tenant, number: int) -> str:
    """Write a batch, again and again under one request id until it is acknowledged."""
    builder = ColumnBuilder()
    for row in range(ROWS):
        builder.add(f"disk-{row % 50}", f"k{row % 10}", float(row), BEGIN + timedelta(seconds=number * ROWS + row))
    batch = builder.build()
    request_id = f"{tenant.tenant_id:08x}-0000-4000-8000-{number:012x}"
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while True:
            try:
                written = await client.write_columns(tenant.tenant_id, batch, request_id=request_id)
            except CallFailed:
                await asyncio.sleep(0.1)
                continue
            assert written.stored == ROWS
            return written.token


async def expect_everywhere(atlas: Launched, client: AtlasClient, tenant: Tenant, token: str) -> None:
    for source in (Source.REPLICA, Source.OLAP):
        await client.wait_for_position(tenant.tenant_id, token, source, timeout=PATIENCE)
    stack = atlas.stack
    held = await count_copies(stack.primary_dsn(), stack.replica_dsn(), f"{stack.clickhouse_url}/atlas", tenant.name)
    expected = Held(BATCHES * ROWS, BATCHES * ROWS, 50, 1, 10)  # each value at a time of its own
    assert held == {"primary": expected, "replica": expected, "olap": expected}


@pytest.mark.parametrize(
    "part", ["olap-sink", "connect", "kafka", "clickhouse", "ingest", "lag-monitor", "replica", "primary"]
)
async def test_counts_are_equal_after_a_part_was_killed(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], part: str
) -> None:
    tenant = await new_tenant()
    process = atlas.process(part)
    killed = process.pid
    token = ""
    for number in range(BATCHES):
        if number == BATCHES // 3:
            process.kill()
            restarting = asyncio.create_task(process.start())
        token = await write_one(client, tenant, number)
    await restarting
    assert process.pid != killed
    await expect_everywhere(atlas, client, tenant, token)
