"""Slots of promoted attributes beside the history that they are made from: always equal, or asking it."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from atlaskit.errors import AlreadyExists, NotFound, StateForbids
from atlaskit.model import ValueType
from atlaskit.postgres.errors import Conflict
from atlaskit.postgres.hot_backfill import await_earlier_writes, backfill_step, backfills_left
from atlaskit.postgres.hot_slots import SLOTS, terms_of
from atlaskit.postgres.store import PostgresStore
from atlaskit.postgres.writer import Writer, open_writer
from doubles.hot_world import KEYS, LIMIT, TYPES, Verdict, World, gone, open_world, random_batch, typed

ENTITIES = 12
SNAPSHOTS = 50
SLOT_COLUMNS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_name = 'entity_hot_attributes' AND column_name ~ '_[1-6]_version$'
"""


@pytest.fixture
async def world(database: Any) -> AsyncIterator[World]:
    superuser = database.primary.dsn(database=database.name)
    async with open_world(database.dsn("atlas_ingest"), superuser) as opened:
        yield opened


async def test_a_slot_keeps_the_newest_value_whatever_comes_late_again_or_deleted(world: World) -> None:
    writer = await world.writer()
    await world.commit(writer, world.writes([typed(n, "a", float(n), n, "pump") for n in range(10)]))
    await world.ready("a")
    assert await world.compare() == Verdict(known=11, absent=2, asks=0)  # two of the tenant's first pumps have no `a`
    late, again = typed(5, "a", 1.0, 1), typed(3, "a", 7.5, 3)
    deletes = world.deletes([gone(6, "a", 6), gone(7, "a"), gone(8)])
    await world.commit(writer, world.writes([late, again, typed(4, "a", 9.0, 50)]), deletes)
    assert await world.compare() == Verdict(known=8, absent=2, asks=2)  # the deleted entity is not there at all
    row = await world.row(5)
    assert row is not None
    assert (row["double_1"], row["change"]) == (5.0, 1)  # the late one changed nothing
    # What comes after a delete with a later time is known again; with an earlier time only history can tell.
    await world.commit(writer, world.writes([typed(6, "a", 1.5, 60), typed(7, "a", 2.5, 1), typed(8, "a", 3.5, 60)]))
    assert await world.compare() == Verdict(known=10, absent=2, asks=1)


async def test_a_value_that_the_slot_cannot_hold_is_asked_of_history(world: World) -> None:
    await world.ready("a")
    await world.promote("b", kind=ValueType.STRING)
    await world.backfill()
    writer = await world.writer()
    others = [
        typed(1, "a", "text", 1, "pump"),
        typed(2, "a", 2**64 - 1, 1, "pump"),
        typed(3, "b", "é" * 257, 1, "pump"),
    ]
    await world.commit(writer, world.writes([*others, typed(4, "b", "é" * 256, 1, "pump")]))
    found = await world.compare()
    assert found.asks == 4  # the three, and the `b` that was a number when it was promoted
    await world.commit(writer, world.writes([typed(1, "a", 1.5, 2), typed(3, "b", "short", 2)]))
    assert (await world.compare()).asks == 2


async def test_an_entity_that_changes_its_type_takes_its_history_along(world: World) -> None:
    await world.ready("a")
    await world.ready("a", "b", asset_type="valve")
    writer = await world.writer()
    await world.commit(writer, world.writes([typed(1, "a", 1.0, 1, "pump"), typed(1, "b", 2.0, 1)]))
    await world.commit(writer, world.writes([typed(1, "c", 3.0, 2, "valve")]))
    row = await world.row(1)
    assert row is not None
    assert {row["double_1"], row["double_2"]} == {1.0, 2.0}
    await world.commit(writer, world.writes([typed(1, "a", 4.0, 3, "pump")]))
    assert (await world.compare()).asks == 0


async def test_a_retired_slot_is_given_away_and_its_old_values_say_nothing(world: World) -> None:
    writer = await world.writer()
    await world.commit(writer, world.writes([typed(n, "a", float(n), n, "pump") for n in range(5)]))
    await world.ready("a")
    await world.demote("a")
    assert await world.compare() == Verdict(0, 0, 0)
    await world.ready("b")
    again = await world.promote("b")
    assert again.mapping.slot.name == "double_1"
    found = await world.compare()
    assert (found.known, found.absent) == (1, 7)  # rows that hold the slot under the old mapping count as absent


async def test_a_process_with_an_old_catalogue_loses_no_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostgresStore(world.dsn)
    writer = await world.writer(store)
    await world.commit(writer, world.writes([typed(1, "a", 1.0, 1, "pump")]))  # it knows that nothing is promoted
    reached, go = asyncio.Event(), asyncio.Event()
    copy = Writer.copy_history

    async def halted(self: Writer, columns: Any, octets: bytes) -> None:
        await copy(self, columns, octets)
        reached.set()
        await go.wait()

    monkeypatch.setattr(Writer, "copy_history", halted)
    writing = asyncio.create_task(
        world.commit(writer, world.writes([typed(1, "a", 2.0, 2), typed(9, "a", 5.0, 2, "pump")]))
    )
    await reached.wait()
    await world.promote("a")
    go.set()
    await writing
    await world.backfill()
    found = await world.compare()
    assert (found.known, found.asks) == (3, 0)
    row = await world.row(1)
    assert row is not None
    assert row["double_1"] == 2.0


async def test_a_backfill_waits_for_writes_that_may_not_know_of_the_promotion(world: World) -> None:
    connection = await asyncpg.connect(world.superuser)
    lock = "SELECT pg_advisory_xact_lock_shared(hashtextextended('atlas.entities', $1))"
    try:
        async with open_writer(world.dsn) as writer:
            async with connection.transaction():
                await connection.execute(lock, world.tenant.tenant_id % 64)
                waiting = asyncio.create_task(await_earlier_writes(writer, world.tenant.tenant_id))
                done, _ = await asyncio.wait([waiting], timeout=0.3)
                assert not done
            await asyncio.wait_for(waiting, 5)
            async with connection.transaction():  # one that comes later is not waited for
                await connection.execute(lock, (world.tenant.tenant_id + 1) % 64)
                await asyncio.wait_for(await_earlier_writes(writer, world.tenant.tenant_id), 5)
    finally:
        await connection.close()


async def test_promotions_are_refused_by_name(world: World) -> None:
    first = await world.promote("a", kind=None)
    assert first.mapping.slot.kind is ValueType.DOUBLE  # what its values are
    assert (await world.promote("a", kind=None)).mapping == first.mapping
    with pytest.raises(AlreadyExists):
        await world.promote("a", kind=ValueType.BOOL)
    for wrong in (world.promote("nothing"), world.promote("a", "nothing"), world.demote("b")):
        with pytest.raises(NotFound):
            await wrong
    writer = await world.writer()
    await world.commit(writer, world.writes([typed(1, "b", "text", 1, "pump")]))
    with pytest.raises(StateForbids) as undecided:
        await world.promote("b", kind=None)
    assert undecided.value.reason == "HOT_TYPE_UNDECIDED"


class Turmoil:
    """Writes, promotions and comparisons at random until there are enough comparisons, each from its own dice."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[Verdict] = []

    def running(self) -> bool:
        return len(self.seen) < SNAPSHOTS

    async def write(self, dice: random.Random) -> None:
        writer = await self.world.writer()
        while self.running():
            await self.world.commit(
                writer, *(random_batch(self.world, dice, ENTITIES) for _ in range(dice.randint(1, 3)))
            )

    async def promote(self, dice: random.Random) -> None:
        kinds = [ValueType.DOUBLE, ValueType.DOUBLE, ValueType.STRING]
        while self.running():
            key, asset_type = dice.choice(KEYS), dice.choice(TYPES)
            with suppress(NotFound):
                await self.world.demote(key, asset_type)
            await self.world.promote(key, asset_type, dice.choice(kinds))
            with suppress(Conflict):  # the worker of ingest tries again too
                await self.world.backfill(dice.randint(1, 5))

    async def compare(self) -> None:
        while self.running():
            self.seen.append(await self.world.compare())


async def test_every_answer_of_a_slot_is_that_of_history_while_all_goes_on_at_random(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    seed = random.randrange(2**32)
    record_property("seed", seed)
    dice = random.Random(seed)
    turmoil = Turmoil(world)
    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(turmoil.write(random.Random(dice.random())))
            tasks.create_task(turmoil.promote(random.Random(dice.random())))
            tasks.create_task(turmoil.compare())
        await world.backfill()
        turmoil.seen.append(await world.compare())
    except BaseExceptionGroup as failed:
        raise AssertionError(f"seed {seed}") from failed
    record_property("snapshots", len(turmoil.seen))
    record_property("known", sum(one.known for one in turmoil.seen))
    record_property("asks", sum(one.asks for one in turmoil.seen))
    assert sum(one.known for one in turmoil.seen) > SNAPSHOTS


async def test_the_index_of_a_slot_serves_a_filter(world: World) -> None:
    writer = await world.writer()
    await world.commit(writer, world.writes([typed(n, "a", float(n), n % 50, "pump") for n in range(3000)]))
    await world.promote("a")
    await world.backfill(500)
    [ready] = await world.attributes.after(world.tenant.tenant_id, 0, 9, retired=False, limit=LIMIT)
    terms = terms_of(ready.mapping, "hot")
    connection = await asyncpg.connect(world.superuser)
    try:
        await connection.execute("ANALYZE entity_hot_attributes")
        for condition in (f"{terms.known} AND {terms.value} > 2990", terms.asks):
            statement = (
                f"SELECT hot.entity_id FROM entity_hot_attributes AS hot WHERE hot.tenant_id = $1 AND {condition}"
            )
            plan = await connection.fetch(f"EXPLAIN {statement}".replace("$1", str(world.tenant.tenant_id)))
            text = "\n".join(row[0] for row in plan)
            assert "double_1_mapping" in text.partition("Index Cond")[2], text
            assert "Seq Scan" not in text, text
            assert len(set(re.findall("entity_hot_attributes_h[0-9]", text))) == 1, text  # one leaf
    finally:
        await connection.close()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once it holds; looked at every 20 ms, at most 30 s."""
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110  # of another process, which tells nobody
            await asyncio.sleep(0.02)


async def test_a_backfill_goes_on_where_a_killed_process_left_it(database: Any, spawned: Any) -> None:
    superuser = database.primary.dsn(database=database.name)
    async with open_world(database.dsn("atlas_ingest"), superuser) as world:
        writer = await world.writer()
        await world.commit(writer, world.writes([typed(n, "a", float(n), n % 50, "pump") for n in range(2000)]))
        slow = {"ATLAS_BACKFILL_ENTITIES": "20", "ATLAS_BACKFILL_REST": "3", "ATLAS_BACKFILL_POLL": "0.1"}
        mapping_id = (await world.promote("a")).mapping.mapping_id
        progress = "SELECT entities_done FROM hot_attribute_backfills WHERE mapping_id = $1"
        async with spawned(database, slow) as (process, _):
            await until(lambda: database.value(f"SELECT entities_done >= 100 FROM ({progress}) AS p", mapping_id))
            process.kill()
        left = await database.value(progress, mapping_id)
        assert 100 <= left < 2000
        async with spawned(database, {"ATLAS_BACKFILL_POLL": "0.1"}):
            await until(lambda: database.value("SELECT ready_at IS NOT NULL FROM hot_attribute_slots"))
        assert await database.value(progress, mapping_id) == 2000  # none twice
        found = await world.compare()
        assert (found.known, found.asks) == (2000, 0)


async def test_an_update_that_lowers_a_slot_or_raises_none_is_refused(world: World) -> None:
    await world.ready("a")
    writer = await world.writer()
    await world.commit(writer, world.writes([typed(1, "a", 1.0, 5, "pump")]))
    for lowered in (
        "double_1_version = double_1_version - 1",
        "double_1_time = double_1_time - interval '1 second', double_1_version = double_1_version + 1",
        "double_1_mapping = NULL",
        "double_1 = 7",
    ):
        with pytest.raises(asyncpg.exceptions.RestrictViolationError):
            await world.fetch(f"UPDATE entity_hot_attributes SET change = change + 1, {lowered} WHERE entity_id = 1")
    columns = [row["column_name"] for row in await world.fetch(SLOT_COLUMNS)]
    assert {name.removesuffix("_version") for name in columns} == set(SLOTS)


async def test_a_demoted_attribute_is_not_filled_any_more(world: World) -> None:
    await world.promote("a")
    [mapping] = await backfills_left(world.pool)
    await world.demote("a")
    async with open_writer(world.dsn) as writer:
        assert await backfill_step(writer, mapping, 10) == "not ours"
    assert await world.row(1000) is None
