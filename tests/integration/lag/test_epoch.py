"""The registration of an epoch, with a real broker and a real ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

from atlas_lag_monitor.board import Board
from atlas_lag_monitor.epochs import owner_of
from atlas_local.postgres import PostgresCluster
from atlas_local.scratch import scratch_cluster
from atlas_local.stack import LocalStack
from atlaskit.clickhouse.pool import open_clickhouse
from atlaskit.clickhouse.watermark import Watermark, publish
from atlaskit.kafka.epochs import EpochRecord, append_epoch, read_epochs
from atlaskit.model import Source
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.epochs import registered_epochs

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
        known = await registered_epochs(session, STEP_LIMIT)
    assert {owner: row.number for owner, row in known.items()} == {identity: epoch}
    assert known[identity].forks == {}

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


async def test_a_withdrawn_epoch_is_kept_in_the_topic_and_holds_whatever_postgresql_remembers(
    cluster: PostgresCluster, stack: LocalStack, eventually: Callable[..., Awaitable[None]]
) -> None:
    stores = {"kafka_bootstrap": stack.kafka_bootstrap, "clickhouse_url": f"{stack.clickhouse_url}/atlas"}
    async with superuser(cluster) as session:
        await session.execute("DELETE FROM epochs")
    async with monitor(cluster, **stores) as board:
        await eventually(registered(board))
        identity, epoch = board.evidence.identity, board.evidence.epoch
        assert identity is not None
        assert epoch is not None
        board.evidence.withdraw(identity, "the test says so")

        async def told() -> None:
            records = await read_epochs(stack.kafka_bootstrap, STEP_LIMIT)
            assert EpochRecord(epoch, identity, "the test says so") in records

        await eventually(told)

    async def withdrawn() -> None:
        reading = board.reading()
        assert (reading.identity, reading.fences) == (None, ())
        assert any("the test says so" in copy.problem for copy in reading.copies.values())

    async with superuser(cluster) as session:
        known = await registered_epochs(session, STEP_LIMIT)
        assert known[identity].withdrawn == "the test says so"
        await session.execute("UPDATE epochs SET withdrawn_because = NULL")
    async with monitor(cluster, **stores) as board:
        await eventually(withdrawn)
    async with superuser(cluster) as session:
        await session.execute("DELETE FROM epochs")  # a backup from before the epoch was registered
    async with monitor(cluster, **stores) as board:
        await eventually(withdrawn)


async def test_a_log_shorter_than_what_clickhouse_saw_of_the_epoch_is_another_one(
    stack: LocalStack, eventually: Callable[..., Awaitable[None]]
) -> None:
    stores = {"kafka_bootstrap": stack.kafka_bootstrap, "clickhouse_url": f"{stack.clickhouse_url}/atlas"}
    async with scratch_cluster(replica=False) as other:
        async with monitor(other, replica_dsn=None, **stores) as board:
            await eventually(registered(board))
            identity, epoch = board.evidence.identity, board.evidence.epoch
        assert identity is not None
        assert epoch is not None
        async with open_clickhouse(stores["clickhouse_url"]) as clickhouse:
            mark = Watermark(
                "entities", 0, uuid4(), 1, epoch, 1, identity.system_identifier, Lsn(2**62), uuid4()
            )  # of an incarnation that is none: it proves nothing, and was published once
            await publish(clickhouse, [mark])
        async with monitor(other, replica_dsn=None, **stores) as board:

            async def withdrawn() -> None:
                assert board.reading().identity is None
                assert "ClickHouse has a watermark" in board.reading().copies[Source.PRIMARY].problem

            await eventually(withdrawn)
