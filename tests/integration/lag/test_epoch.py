"""The registration of an epoch, with a real broker and a real ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from atlas_lag_monitor.board import Board
from atlas_lag_monitor.epochs import owner_of
from atlas_local.postgres import PostgresCluster
from atlas_local.stack import LocalStack
from atlaskit.kafka.epochs import EpochRecord, append_epoch, read_epochs
from atlaskit.position import SourceIdentity
from atlaskit.postgres.beats import registered_epochs

from .monitors import monitor, superuser

STEP_LIMIT = timedelta(seconds=10)
OTHER = SourceIdentity(1, 1)


def registered(board: Board) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        reading = board.reading()
        assert reading.epoch is not None
        assert reading.beats

    return check


async def test_a_new_primary_gets_a_number_above_all_in_the_topic_and_keeps_it(
    cluster: PostgresCluster, stack: LocalStack, eventually: Callable[..., Awaitable[None]]
) -> None:
    stores = {"kafka_bootstrap": stack.kafka_bootstrap, "clickhouse_url": f"{stack.clickhouse_url}/atlas"}
    async with superuser(cluster) as session:
        await session.execute("DELETE FROM epochs")
    before = await read_epochs(stack.kafka_bootstrap, STEP_LIMIT)
    taken = max((record.epoch for record in before), default=0) + 1
    await append_epoch(stack.kafka_bootstrap, EpochRecord(taken, OTHER), STEP_LIMIT)

    async with monitor(cluster, **stores) as board:
        await eventually(registered(board))
        identity, epoch = board.evidence.identity, board.evidence.epoch
    assert identity is not None
    assert epoch == taken + 1
    records = await read_epochs(stack.kafka_bootstrap, STEP_LIMIT)
    assert owner_of(records, epoch) == identity
    async with superuser(cluster) as session:
        assert await registered_epochs(session, STEP_LIMIT) == {identity: epoch}

    async with monitor(cluster, **stores) as board:
        await eventually(registered(board))
        assert board.evidence.epoch == epoch
    assert await read_epochs(stack.kafka_bootstrap, STEP_LIMIT) == records


async def test_a_number_that_the_topic_gives_to_another_is_withdrawn(
    cluster: PostgresCluster, stack: LocalStack, eventually: Callable[..., Awaitable[None]]
) -> None:
    stores = {"kafka_bootstrap": stack.kafka_bootstrap, "clickhouse_url": f"{stack.clickhouse_url}/atlas"}
    records = await read_epochs(stack.kafka_bootstrap, STEP_LIMIT)
    stolen = max((record.epoch for record in records), default=0) + 1
    await append_epoch(stack.kafka_bootstrap, EpochRecord(stolen, OTHER), STEP_LIMIT)
    async with superuser(cluster) as session:
        await session.execute("DELETE FROM epochs")
        statement = "INSERT INTO epochs SELECT $1, system_identifier, 1 FROM pg_control_system()"
        await session.execute(statement, stolen)
    async with monitor(cluster, **stores) as board:

        async def withdrawn() -> None:
            reading = board.reading()
            assert reading.fences
            assert (reading.epoch, reading.beats) == (None, ())
            assert any("belongs to" in copy.problem for copy in reading.copies.values())

        await eventually(withdrawn)
        end = asyncio.get_running_loop().time() + 1.0
        while asyncio.get_running_loop().time() < end:  # attempts go on; none may put it back, even for a moment
            assert board.evidence.epoch is None
            await asyncio.sleep(0)
