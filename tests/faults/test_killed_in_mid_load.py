"""A part is killed with -9, or ends by a full disk, while rows are on their way: then every copy holds each once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta

import pytest
from atlas_cli.copies import Held, count_copies
from atlas_client import AtlasClient, CallFailed, ColumnBuilder, Source, Tenant
from atlas_local.faults.disks import stop_growth
from atlas_local.launch import Launched
from atlas_local.process import ChildProcess, until

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


async def killed(process: ChildProcess) -> None:
    process.kill()
    await process.start()


async def ended_by_a_full_disk(process: ChildProcess) -> None:
    before = process.pid
    await stop_growth(process)
    async with asyncio.timeout(PATIENCE.total_seconds()):
        # Who keeps the stack up may have started it again already.
        await until(lambda: process.pid != before or not process.running, every=0.05)
    await process.start()


async def expect_equal_counts(
    atlas: Launched,
    client: AtlasClient,
    tenant: Tenant,
    process: ChildProcess,
    befall: Callable[[ChildProcess], Coroutine[None, None, None]],
) -> None:
    before = process.pid
    token = ""
    for number in range(BATCHES):
        if number == BATCHES // 3:
            befalling = asyncio.create_task(befall(process))
        token = await write_one(client, tenant, number)
    await befalling
    assert process.pid != before
    await expect_everywhere(atlas, client, tenant, token)


@pytest.mark.parametrize(
    "part", ["olap-sink", "connect", "kafka", "clickhouse", "ingest", "lag-monitor", "replica", "primary"]
)
async def test_counts_are_equal_after_a_part_was_killed(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], part: str
) -> None:
    await expect_equal_counts(atlas, client, await new_tenant(), atlas.process(part), killed)


async def test_counts_are_equal_after_kafka_found_no_space_for_its_records(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    await expect_equal_counts(atlas, client, await new_tenant(), atlas.process("kafka"), ended_by_a_full_disk)
