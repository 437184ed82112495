"""An ack level that an answer names is true: the copy shows the write to whoever asks it then, without a token."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from atlas_client import AckLevel, AtlasClient, ColumnBuilder, Tenant, Write
from atlas_local.launch import Launched
from atlaskit.clickhouse.pool import open_clickhouse

AT = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)
ROWS = "SELECT count(*) FROM entity_attributes WHERE tenant_id = $1"


async def in_replica(atlas: Launched, tenant: Tenant) -> int:
    connection = await asyncpg.connect(atlas.stack.replica_dsn())
    try:
        return int(await connection.fetchval(ROWS, tenant.tenant_id))
    finally:
        await connection.close()


async def in_olap(atlas: Launched, tenant: Tenant) -> int:
    async with open_clickhouse(f"{atlas.stack.clickhouse_url}/atlas") as pool:
        counted = "SELECT count() FROM entity_analytics_events WHERE tenant_id = {tenant:UInt32}"
        [[count]] = await pool.rows(counted, {"tenant": tenant.tenant_id})
        return int(count)


@pytest.mark.parametrize("level", list(AckLevel))
async def test_what_the_answer_names_is_there(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], level: AckLevel
) -> None:
    tenant = await new_tenant()
    for number in range(1, 6):
        row = Write("e", "a", number, AT + timedelta(seconds=number))
        written = await client.write_rows(tenant.tenant_id, [row], ack_level=level, timeout=PATIENCE)
        assert written.acknowledged == level.value
        if level is not AckLevel.COMMITTED:
            assert await in_replica(atlas, tenant) == number
        if level is AckLevel.OLAP_VISIBLE:
            assert await in_olap(atlas, tenant) == number


async def test_a_deadline_that_passes_first_names_the_level_that_was_reached(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant = await new_tenant()
    sink = atlas.process("olap-sink")
    sink.pause()
    try:
        row, level, short = Write("e", "a", 1, AT), AckLevel.OLAP_VISIBLE, timedelta(seconds=2)
        written = await client.write_rows(tenant.tenant_id, [row], ack_level=level, timeout=short)
        assert (written.stored, written.acknowledged) == (1, "replicated")
    finally:
        sink.resume()
    # The same request again: the first answer, and its level established anew.
    again = await client.write_rows(
        tenant.tenant_id, [row], ack_level=level, request_id=written.request_id, timeout=PATIENCE
    )
    assert (again.repeated, again.acknowledged) == (True, "olap_visible")


async def test_a_batch_that_waits_for_a_copy_does_not_hold_up_those_behind_it(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant = await new_tenant()
    sink = atlas.process("olap-sink")
    connection = await asyncpg.connect(atlas.stack.primary_dsn())

    def batch(number: int) -> ColumnBuilder:
        builder = ColumnBuilder()
        builder.add("e", "a", number, AT + timedelta(seconds=number))
        return builder

    async def all_outcomes() -> list[str]:
        batches = [batch(number).build() for number in range(5)]
        stream = client.stream_writes(tenant.tenant_id, batches, ack_level=AckLevel.OLAP_VISIBLE, timeout=PATIENCE)
        return [outcome.written.acknowledged if outcome.written else "" async for outcome in stream]

    sink.pause()
    try:
        waiting = asyncio.create_task(all_outcomes())
        async with asyncio.timeout(PATIENCE.total_seconds()):
            while await connection.fetchval(ROWS, tenant.tenant_id) < 5:
                assert not waiting.done()
                await asyncio.sleep(0.01)
    finally:
        sink.resume()
        await connection.close()
    assert await waiting == [AckLevel.OLAP_VISIBLE.value] * 5
