"""The monitor over a real primary and replica."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from atlas_lag_monitor.board import Board
from atlas_local.faults.relay import open_relay
from atlas_local.postgres import PostgresCluster
from atlaskit.freshness.reading import CopyLag, PrimaryMode
from atlaskit.model import Source

from .monitors import ROLE, monitor, register, superuser

Eventually = Callable[..., Awaitable[None]]
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
SPREAD = ("entities", "entity_hot_attributes", "entity_attributes")
SINGLE = ("attribute_keys", "asset_types", "ingest_batches")


def replica_of(board: Board) -> CopyLag:
    return board.reading().copies.get(Source.REPLICA, CopyLag(None, reachable=False))


def lag_within(board: Board, low: timedelta, high: timedelta) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        lag = replica_of(board).lag
        assert lag is not None
        assert low <= lag <= high

    return check


def beats_arrive(board: Board, more_than: int = 0) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        beats = board.reading().beats
        assert beats
        assert beats[0].number > more_than

    return check


async def test_fences_rise_in_instant_and_position(cluster: PostgresCluster, eventually: Eventually) -> None:
    async with monitor(cluster) as board:

        async def enough() -> None:
            assert len(board.evidence.fences()) > 20

        await eventually(enough)
        fences = board.evidence.fences()
        assert all(new.instant > old.instant for new, old in itertools.pairwise(fences))
        assert all(new.lsn >= old.lsn for new, old in itertools.pairwise(fences))


async def test_on_an_idle_primary_the_replicas_lag_stays_near_the_interval_of_the_fences(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    async with monitor(cluster, primary_beat_interval=HOUR, beat_interval=HOUR) as board:
        await eventually(lag_within(board, timedelta(0), SECOND))
        lags = []
        for _ in range(40):
            await asyncio.sleep(0.05)  # the interval at which the lag is sampled
            lags.append(replica_of(board).lag)
        known = sorted(lag for lag in lags if lag is not None)
        assert len(known) == len(lags)
        assert known[len(known) // 2] < timedelta(milliseconds=300)


async def test_while_replay_is_paused_the_lag_grows(cluster: PostgresCluster, eventually: Eventually) -> None:
    async with monitor(cluster) as board:
        await eventually(lag_within(board, timedelta(0), SECOND))
        await cluster.replica.pause_replay()
        try:
            await eventually(lag_within(board, 2 * SECOND, 30 * SECOND))
            assert (replica_of(board).lag_bytes or 0) > 0
        finally:
            await cluster.replica.resume_replay()
        await eventually(lag_within(board, timedelta(0), SECOND))


async def test_a_replica_that_hangs_has_no_lag_at_all(cluster: PostgresCluster, eventually: Eventually) -> None:
    async with monitor(cluster) as board:
        await eventually(lag_within(board, timedelta(0), SECOND))
        cluster.replica.pause()
        try:

            async def unknown() -> None:
                assert replica_of(board).lag is None
                assert not replica_of(board).reachable
                assert replica_of(board).problem

            await eventually(unknown)
        finally:
            cluster.replica.resume()
        await eventually(lag_within(board, timedelta(0), SECOND))


async def test_a_beat_is_one_transaction_with_a_row_for_every_shard_and_the_vector_of_all_writers(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    await register(cluster)
    async with monitor(cluster) as board, superuser(cluster) as session:
        await eventually(beats_arrive(board))
        await session.execute(
            "INSERT INTO ingest_writers (writer, last_sequence) VALUES (77, 5) ON CONFLICT DO NOTHING"
        )
        seen = board.reading().beats[0].number
        await eventually(beats_arrive(board, seen + 1))
        vector = await session.value("SELECT vector FROM ingest_batches_beat")
        assert json.loads(vector)["77"] == 5
        parts = [
            f"SELECT '{name}', shard, beat, xmin::text, monitor, epoch FROM {name}_beat" for name in SPREAD + SINGLE
        ]
        rows = await session.fetch(" UNION ALL ".join(parts))
        assert len({tuple(row)[2:] for row in rows}) == 1
        assert sorted((row[0], row[1]) for row in rows) == sorted(
            [(name, shard) for name in SPREAD for shard in range(10)] + [(name, 0) for name in SINGLE]
        )
        assert {row["monitor"] for row in rows} == {board.evidence.monitor}


async def test_two_monitors_beat_in_places_of_their_own_and_a_new_one_has_a_new_identity(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    await register(cluster)
    async with monitor(cluster) as first, monitor(cluster) as second, superuser(cluster) as session:
        await eventually(beats_arrive(first))
        await eventually(beats_arrive(second))
        places = await session.fetch("SELECT place, monitor FROM ingest_batches_beat")
        at = {row["monitor"]: row["place"] for row in places}
        assert at[first.evidence.monitor] != at[second.evidence.monitor]
    async with monitor(cluster) as third:
        await eventually(beats_arrive(third))
        assert third.evidence.monitor not in (first.evidence.monitor, second.evidence.monitor)


async def test_while_the_primary_hangs_ages_grow_and_nothing_is_claimed_anew(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    await register(cluster)
    async with monitor(cluster, fence_timeout=timedelta(milliseconds=300)) as board:
        await eventually(beats_arrive(board))
        cluster.primary.pause()
        try:

            async def stalled() -> None:
                reading = board.reading()
                assert reading.fences[0].age > SECOND
                assert reading.beats[0].age > SECOND
                assert not reading.copies[Source.PRIMARY].reachable

            await eventually(stalled)
            newest = board.reading().beats[0].number
        finally:
            cluster.primary.resume()
        await eventually(beats_arrive(board, newest))
        await eventually(lag_within(board, timedelta(0), SECOND))


async def test_without_kafka_a_new_primary_gets_no_epoch_and_no_beats_and_the_board_says_why(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    async with superuser(cluster) as session:
        await session.execute("DELETE FROM epochs")
    async with monitor(cluster) as board:

        async def told() -> None:
            reading = board.reading()
            assert reading.fences
            assert (reading.epoch, reading.beats) == (None, ())
            assert "Kafka" in reading.copies[Source.PRIMARY].problem

        await eventually(told)


async def test_in_mode_quorum_nothing_is_claimed_without_synchronous_standbys(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    async with monitor(cluster, primary_mode=PrimaryMode.QUORUM) as board:

        async def told() -> None:
            assert "no synchronous standbys" in board.reading().copies[Source.PRIMARY].problem

        await eventually(told)
        assert board.reading().fences == ()


@pytest.fixture
async def synchronous(cluster: PostgresCluster, eventually: Eventually) -> object:
    async with superuser(cluster) as session:
        await session.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await session.execute("SELECT pg_reload_conf()")
    yield
    async with superuser(cluster) as session:
        await session.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await session.execute("SELECT pg_reload_conf()")


@pytest.mark.usefixtures("synchronous")
async def test_in_mode_quorum_a_commit_whose_wait_was_given_up_makes_no_fence_usable(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'atlas-lag-primary-beats'"
    async with monitor(cluster, primary_mode=PrimaryMode.QUORUM, primary_beat_timeout=60 * SECOND) as board:

        async def fresh() -> None:
            reading = board.reading()
            assert reading.fences
            assert reading.fences[0].age < SECOND

        await eventually(fresh)
        cluster.replica.pause()
        try:

            async def stale() -> None:
                assert board.reading().fences[0].age > SECOND

            await eventually(stale)
            last = board.reading().fences[0].lsn
            async with superuser(cluster) as session:
                for _ in range(5):
                    assert await session.fetch(cancel)
                    await asyncio.sleep(0.1)  # time in which a wrongly counted beat would show
            assert board.reading().fences[0].lsn == last
            assert board.reading().fences[0].age > SECOND
        finally:
            cluster.replica.resume()
        await eventually(fresh)


@pytest.mark.usefixtures("synchronous")
async def test_what_was_on_its_way_to_the_primary_when_its_connections_were_forgotten_holds_nothing_up(
    cluster: PostgresCluster, eventually: Eventually
) -> None:
    await register(cluster)
    server = cluster.primary
    async with open_relay("lag-monitor->primary", server.port) as relay:
        patient = {"beat_timeout": HOUR, "primary_beat_timeout": HOUR, "fence_timeout": timedelta(milliseconds=300)}
        dsn = server.dsn(ROLE).replace(f":{server.port}/", f":{relay.port}/")
        async with monitor(cluster, postgres_dsn=dsn, primary_mode=PrimaryMode.QUORUM, **patient) as board:
            await eventually(beats_arrive(board))
            await relay.forget()
            last = board.reading().beats[0].number

            async def beats_of_both_kinds() -> None:
                await beats_arrive(board, last + 1)()
                assert board.reading().fences[0].age < SECOND

            await eventually(beats_of_both_kinds)
            await relay.heal()  # what was held arrives at last, and changes nothing
            last = board.reading().beats[0].number
            await eventually(beats_arrive(board, last + 1))
