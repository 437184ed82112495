"""Another history under an old name: a promotion, a backup put back, an ex-primary that is cut off."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
from atlas_lag_monitor.board import Board
from atlas_local.ports import HOST
from atlas_local.postgres import PostgresCluster, PostgresServer
from atlas_local.scratch import scratch_cluster
from atlaskit.clock import SystemClock
from atlaskit.freshness.proofs import PrimaryRead, prove_primary
from atlaskit.freshness.reading import PrimaryMode, Reading, known_from
from atlaskit.model import Source
from atlaskit.position import Lsn
from atlaskit.postgres.dedicated import open_session

from .monitors import ROLE, monitor, register

Eventually = Callable[..., Awaitable[None]]
SECOND = timedelta(seconds=1)  # nothing answers where Kafka would be
ALERT = timedelta(milliseconds=100)


async def flushed(server: PostgresServer) -> Lsn:
    async with open_session(server.dsn(), "test") as session:
        return Lsn(await session.value("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"))


async def execute(server: PostgresServer, *statements: str) -> None:
    async with open_session(server.dsn(), "test") as session:
        for statement in statements:
            await session.execute(statement)


def on_timeline(board: Board, timeline: int) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        now = board.reading()
        assert now.identity is not None
        assert now.identity.timeline == timeline
        assert now.fences

    return check


def beats(board: Board) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        assert board.reading().beats

    return check


async def test_after_a_promotion_every_proof_of_the_old_timeline_is_gone_and_its_tokens_end_at_the_fork(
    eventually: Eventually,
) -> None:
    async with scratch_cluster(replica=True) as cluster:
        await register(cluster)
        ports = f"{HOST}:{cluster.primary.port},{HOST}:{cluster.replica.port}"
        dsn = cluster.primary.dsn(ROLE).replace(f"{HOST}:{cluster.primary.port}", ports)
        async with monitor(cluster, postgres_dsn=f"{dsn}?target_session_attrs=primary", epoch_timeout=SECOND) as board:
            await eventually(beats(board))
            before: Reading = board.reading()
            cluster.primary.kill()
            replayed, received = await held(cluster)
            await execute(cluster.replica, "SELECT pg_promote()")
            await eventually(on_timeline(board, 2))
            now = board.reading()
            assert (now.epoch, now.beats, now.ancestors) == (None, (), {})
            assert now.fences[-1].age < before.fences[0].age + now.fences[-1].age
            assert board.evidence.fences()[-1].lsn >= before.fences[0].lsn
            # The epoch of the new timeline, where the registrar would put it if there was a Kafka.
            await execute(cluster.replica, "INSERT INTO epochs SELECT 2, system_identifier, 2 FROM pg_control_system()")

            async def forked() -> None:
                assert board.reading().epoch == 2
                assert set(board.reading().ancestors) == {1}

            await eventually(forked)
            forked_at = board.reading().ancestors[1]
            assert replayed <= forked_at <= received
            async with open_session(cluster.replica.dsn(), "test") as session:
                kept = await session.value("SELECT ancestors FROM epochs WHERE epoch = 2")
                assert kept == f"[[1, {forked_at.bytes}]]"


async def held(cluster: PostgresCluster) -> tuple[Lsn, Lsn]:
    """Return how far the standby has replayed, and how far it has the log, which may end within a record."""
    asked = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint, (pg_last_wal_receive_lsn() - '0/0')::bigint"
    async with open_session(cluster.replica.dsn(), "test") as session:
        row = await session.row(asked)
    assert row is not None
    return Lsn(row[0]), Lsn(row[1])


async def test_a_backup_put_back_on_its_timeline_proves_nothing_and_takes_no_write_until_it_has_a_new_one(
    eventually: Eventually,
) -> None:
    async with scratch_cluster(replica=False) as cluster:
        primary = cluster.primary
        await register(cluster)
        async with monitor(cluster, replica_dsn=None, epoch_timeout=SECOND) as board:
            await eventually(on_timeline(board, 1))
            await primary.stop()
            backup = primary.data.with_name("backup")
            await copied(primary.data, backup)
            await primary.start()
            noise = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))"
            await execute(primary, *[noise] * 20, "SELECT pg_switch_wal()")
            lost = await flushed(primary)

            async def seen() -> None:
                assert board.reading().fences
                assert board.reading().fences[0].lsn >= lost

            await eventually(seen)
            await primary.stop()
            shutil.rmtree(primary.data)
            backup.rename(primary.data)
            await primary.start()
            assert await flushed(primary) < lost

            async def withdrawn() -> None:
                reading = board.reading()
                assert (reading.identity, reading.fences, reading.beats) == (None, (), ())
                assert "became shorter" in reading.copies[Source.PRIMARY].problem
                async with open_session(primary.dsn(), "test") as session:
                    assert await session.value("SELECT withdrawn_because FROM epochs WHERE epoch = 1")

            await eventually(withdrawn)
        async with monitor(
            cluster, replica_dsn=None, epoch_timeout=SECOND
        ) as board:  # another one, which never saw the longer log
            await eventually(withdrawn_by_table(board))
            # What the runbook says: let it go on as a standby, and promote it.
            await primary.stop()
            await copied(primary.data / "PG_VERSION", primary.data / "standby.signal")
            await primary.start()
            await execute(primary, "SELECT pg_promote()")
            await eventually(on_timeline(board, 2))
            await execute(primary, "INSERT INTO epochs SELECT 2, system_identifier, 2 FROM pg_control_system()")

            async def goes_on() -> None:
                assert board.reading().epoch == 2
                assert board.reading().beats

            await eventually(goes_on)
            assert board.reading().ancestors == {}  # two histories bear the name of epoch 1


async def copied(source: Path, target: Path) -> None:
    """Copy a file or a folder with its owner."""
    await asyncio.to_thread(subprocess.run, ["cp", "-a", str(source), str(target)], check=True)


def withdrawn_by_table(board: Board) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        assert board.reading().identity is None
        assert "became shorter" in board.reading().copies[Source.PRIMARY].problem

    return check


async def test_in_mode_quorum_a_cut_off_ex_primary_proves_nothing_that_came_after_it_was_cut_off(
    eventually: Eventually,
) -> None:
    clock = SystemClock()
    async with scratch_cluster(replica=True) as cluster:
        await register(cluster)
        await execute(cluster.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        async with monitor(cluster, primary_mode=PrimaryMode.QUORUM, epoch_timeout=SECOND) as board:

            def staleness() -> timedelta | None:
                """Return what a read of the old primary would be proven to be, asked and answered now."""
                known = known_from(board.reading(), clock.boot())
                now = clock.boot()
                proof = prove_primary(known, PrimaryRead(board.evidence.identity, False, now, now, Lsn(1)), now)
                return None if proof is None else proof.staleness(now)

            async def fresh() -> None:
                claimed = staleness()
                assert claimed is not None
                assert claimed < ALERT

            await eventually(fresh)
            # The standby is promoted while the old primary lives on, and the monitor sees only that one.
            await execute(cluster.replica, "SELECT pg_promote()")
            async with open_session(cluster.replica.dsn(), "test") as session:
                await session.execute("INSERT INTO epochs VALUES (200, 1, 1)")
            written = clock.boot()
            ages = []
            while clock.boot() < written.minus(timedelta(seconds=-2)):
                claimed = staleness()
                now = clock.boot()
                assert claimed is None or now.minus(claimed) < written
                reading = board.reading()
                assert all(now.minus(fence.age) < written for fence in reading.fences)
                assert all(now.minus(beat.age) < written for beat in reading.beats)
                ages.append(claimed)
                await asyncio.sleep(0.02)  # the interval at which the claims are sampled
            assert ages[-1] is None or ages[-1] > timedelta(seconds=1.9)
            # Giving the wait up makes the commits return, with a warning, and none of them counts.
            cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'atlas-lag-%'"
            connection = await asyncpg.connect(cluster.primary.dsn())
            try:
                for _ in range(10):
                    await connection.execute(cancel)
                    await asyncio.sleep(0.05)
                    claimed, now = staleness(), clock.boot()
                    assert claimed is None or now.minus(claimed) < written
            finally:
                await connection.close()
