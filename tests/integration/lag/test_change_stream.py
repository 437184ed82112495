"""The slot and the publication, on a real primary: what breaks them is noticed, and stays so until it is accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from atlas_lag_monitor.board import Board
from atlas_local.postgres import PostgresCluster, PostgresTuning
from atlas_local.scratch import scratch_cluster
from atlaskit.freshness.reading import Reading
from atlaskit.model import Source
from atlaskit.postgres.dedicated import DedicatedSession, open_session

from .monitors import monitor, register

Eventually = Callable[..., Awaitable[None]]
SLOT = "debezium_atlas_slot"
CREATE = f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"
DROP = f"SELECT pg_drop_replication_slot('{SLOT}')"
KEPT_MB = 64  # of the log, for a slot that nobody reads
STATUS = f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
READ = (
    f"SELECT count(*) FROM pg_logical_slot_get_binary_changes('{SLOT}', NULL, NULL, "
    "'proto_version', '1', 'publication_names', 'atlas_publication')"
)


@pytest.fixture(scope="module")
async def primary() -> AsyncIterator[PostgresCluster]:
    async with scratch_cluster(PostgresTuning(max_slot_wal_keep_size=f"{KEPT_MB}MB"), replica=False) as cluster:
        await register(cluster)
        yield cluster


@pytest.fixture
async def owner(primary: PostgresCluster) -> AsyncIterator[DedicatedSession]:
    """A session of the superuser over a slot that was accepted as it is."""
    async with open_session(primary.primary.dsn(), "test") as session:
        await session.execute(CREATE)
        try:
            yield session
        finally:
            await session.execute("DELETE FROM change_streams")
            await session.execute(
                f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
            )


def proven(board: Board) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        assert board.reading().beats

    return check


def unproven(board: Board, said: str) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        reading: Reading = board.reading()
        assert reading.beats == ()
        assert reading.fences
        assert said in reading.copies[Source.PRIMARY].problem

    return check


async def test_a_slot_that_is_gone_proves_nothing_until_what_came_after_it_is_accepted(
    primary: PostgresCluster, owner: DedicatedSession, eventually: Eventually
) -> None:
    async with monitor(primary, replica_dsn=None) as board:
        await eventually(proven(board))
        await owner.execute(DROP)
        await eventually(unproven(board, "slot is gone"))
        await owner.execute(CREATE)
        await eventually(unproven(board, "slot is gone"))
    async with monitor(primary, replica_dsn=None) as board:  # another one knows it from the table
        await eventually(unproven(board, "slot is gone"))
        newest = await owner.value("SELECT max(beat) FROM ingest_batches_beat")
        assert await owner.value("SELECT accept_change_stream($1)", SLOT) == 2
        await eventually(proven(board))
        assert board.reading().beats[-1].number >= newest


async def test_a_slot_made_anew_between_two_looks_is_noticed(
    primary: PostgresCluster, owner: DedicatedSession, eventually: Eventually
) -> None:
    async with monitor(primary, replica_dsn=None) as board:
        await eventually(proven(board))

        async def remembered() -> None:
            await owner.value(READ)  # as a consumer does; the statistics are counted with it
            assert await owner.value("SELECT transactions FROM change_streams") > 0

        await eventually(remembered)
        await owner.execute(f"DO $$ BEGIN PERFORM pg_drop_replication_slot('{SLOT}'); END $$; {CREATE}")
        await eventually(unproven(board, "made anew"))


async def test_a_slot_that_nobody_reads_is_seen_to_fall_behind_until_it_is_lost_and_proves_nothing_from_then_on(
    primary: PostgresCluster, owner: DedicatedSession, eventually: Eventually
) -> None:
    async with monitor(primary, replica_dsn=None) as board:
        await eventually(proven(board))
        # Rows of a table that is not published: nobody reads of them, and the slot keeps them all the same.
        await owner.execute("CREATE TABLE filler (words text)")
        fill = "INSERT INTO filler SELECT repeat(md5(n::text), 3) FROM generate_series(1, 50000) AS n"

        async def behind() -> None:
            lag = board.slot_lag()
            assert lag is not None
            assert lag > KEPT_MB << 19  # half of what is kept

        written = 0
        while await owner.value(STATUS) != "lost":
            await owner.execute(fill)
            await owner.execute("CHECKPOINT")  # which gives up the slots that are too far behind
            written += 1
            assert written < 50
            if written == 5:
                assert await owner.value(STATUS) in ("reserved", "extended", "unreserved")
                await eventually(behind)
                assert board.reading().beats
        assert written > 5
        await owner.execute("DROP TABLE filler")
        await eventually(unproven(board, "slot is lost"))
        await owner.execute(DROP)
        await owner.execute(CREATE)
        await eventually(unproven(board, "slot is lost"))
        await owner.value("SELECT accept_change_stream($1)", SLOT)
        await eventually(proven(board))


async def test_the_transactions_that_slots_keep_from_vacuum_are_counted_whichever_slot_it_is(
    primary: PostgresCluster, owner: DedicatedSession, eventually: Eventually
) -> None:
    spend = "DO $$ BEGIN FOR n IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"

    def held(board: Board, least: int, most: int) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            await owner.execute("SELECT pg_log_standby_snapshot()")
            await owner.value(READ)
            found = board.held_back()
            assert found is not None
            assert least <= found < most

        return check

    async with monitor(primary, replica_dsn=None) as board:
        await eventually(proven(board))
        await owner.execute(spend)

        async def held_by_its_own() -> None:
            assert (board.held_back() or 0) >= 2000

        await eventually(held_by_its_own)
        await eventually(held(board, 0, 1000))  # as soon as the slot is read
        await owner.execute(CREATE.replace(SLOT, "left_behind"))
        try:
            await owner.execute(spend)
            await eventually(held(board, 2000, 4000))
        finally:
            await owner.execute(DROP.replace(SLOT, "left_behind"))
        await eventually(held(board, 0, 1000))


@pytest.mark.parametrize(
    ("change", "back", "said"),
    [
        (
            "ALTER PUBLICATION atlas_publication SET (publish = 'insert, update')",
            "ALTER PUBLICATION atlas_publication SET (publish = 'insert, update, delete')",
            "other kinds of changes",
        ),
        (
            "ALTER PUBLICATION atlas_publication DROP TABLE entities_beat",
            "ALTER PUBLICATION atlas_publication ADD TABLE entities_beat",
            "lacks entities_beat",
        ),
        (
            "ALTER TABLE entity_hot_attributes_h3 REPLICA IDENTITY DEFAULT",
            "ALTER TABLE entity_hot_attributes_h3 REPLICA IDENTITY FULL",
            "lacks REPLICA IDENTITY FULL",
        ),
    ],
)
async def test_a_publication_that_was_changed_proves_nothing_even_once_it_is_changed_back(
    primary: PostgresCluster, owner: DedicatedSession, eventually: Eventually, change: str, back: str, said: str
) -> None:
    async with monitor(primary, replica_dsn=None) as board:
        await eventually(proven(board))
        await owner.execute(change)
        await eventually(unproven(board, said))
        await owner.execute(back)
        await eventually(unproven(board, said))
        await owner.value("SELECT accept_change_stream($1)", SLOT)
        await eventually(proven(board))


@pytest.mark.parametrize(
    ("change", "back", "said"),
    [
        ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync", "fsync"),
        (
            "ALTER ROLE atlas_ingest SET synchronous_commit = off",
            "ALTER ROLE atlas_ingest RESET synchronous_commit",
            "synchronous_commit off",
        ),
    ],
)
async def test_a_setting_that_every_proof_rests_on_withdraws_them_all_while_it_is_changed(
    primary: PostgresCluster, owner: DedicatedSession, eventually: Eventually, change: str, back: str, said: str
) -> None:
    async with monitor(primary, replica_dsn=None) as board:
        await eventually(proven(board))
        await owner.execute(change)
        await owner.execute("SELECT pg_reload_conf()")
        try:

            async def withdrawn() -> None:
                reading = board.reading()
                assert (reading.identity, reading.fences, reading.beats) == (None, (), ())
                assert said in reading.copies[Source.PRIMARY].problem

            await eventually(withdrawn)
        finally:
            await owner.execute(back)
            await owner.execute("SELECT pg_reload_conf()")
        await eventually(proven(board))
