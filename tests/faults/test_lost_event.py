"""An event that is lost on its way to the sink: the claim stands still, the batch is named, the row comes back."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from atlas_client import AtlasClient
from atlaskit.cdc.topics import HISTORY, LEDGER
from checker.history import History, ReadAnswered
from checker.index import facts_of
from checker.processes import wire
from checker.processes.clients import Reader, Writer
from checker.processes.notebook import Notebook
from checker.processes.wire import Class
from checker.processes.world import World
from checker.verdict import check

# A limit so wide that a claim which stands still is an answer for minutes.
OLAP = Class("analytics", timedelta(minutes=5), ("olap",), "olap")
ALARM = "the ledger does not balance: nothing new is claimed until it is repaired"
WAIT = 60.0
STILL = 15  # reads, a beat and more apart, after which what was on its way has arrived


class Site:
    """One tenant on one shard, a writer that never rests, and a reader of ClickHouse."""

    def __init__(self, world: World, tenant: int) -> None:
        self.notes = Notebook(History(tier="lost event"), random.Random(1))
        self.tenant = tenant
        self.writer = Writer(world.ingest, self.notes, tenant)
        self.reader = Reader(world.query, self.notes)

    async def write(self, key: str = "e/k") -> str:
        token = await self.writer.write((self.notes.new(key),))
        assert token
        return token

    async def read(self, token: str = "", policy: str = "fail_fast") -> ReadAnswered | None:
        asked = wire.past(self.tenant, "e", "k", wire.BEGIN_US)
        return await self.reader.read(self.tenant, asked, OLAP, policy, token)

    async def keep_writing(self) -> None:
        while True:
            await self.write()
            await asyncio.sleep(0.05)

    async def until_covered(self, token: str) -> ReadAnswered:
        async with asyncio.timeout(WAIT):
            while True:
                answer = await self.read(token, "wait")
                if answer is not None:
                    return answer


@asynccontextmanager
async def site(world: World) -> AsyncIterator[Site]:
    async with AtlasClient.connect(world.atlas.ingest, world.atlas.query) as client:
        tenant = (await client.create_tenant(f"lost-event/{random.random()}", shard_spread=1)).tenant_id
    one = Site(world, tenant)
    await one.until_covered(await one.write())
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(one.keep_writing())
        yield one
        writing.cancel()


def alarms(world: World) -> Iterator[dict[str, Any]]:
    for line in world.atlas.process("olap-sink").log.read_text("utf-8").splitlines():
        if ALARM in line:
            yield json.loads(line)


async def batch_of(world: World, row_version: int) -> asyncpg.Record:
    """Return writer and sequence of the transaction that gave this version, and one of the values it wrote."""
    connection = await asyncpg.connect(world.pair.primary.dsn())
    try:
        found = await connection.fetchrow(
            "SELECT writer, sequence, (SELECT min(value_int) FROM entity_attributes AS rows"
            " WHERE rows.row_version >> 17 = $1::bigint >> 17) AS value"
            " FROM ingest_batches WHERE row_version >> 17 = $1::bigint >> 17",
            row_version,
        )
    finally:
        await connection.close()
    assert found is not None
    return found


@pytest.mark.parametrize("topic", [HISTORY.name, LEDGER.name])
async def test_a_lost_event_freezes_the_claim_is_named_and_comes_back_by_itself(world: World, topic: str) -> None:
    told_before = len(list(alarms(world)))
    async with site(world) as one:
        # PostgreSQL is out of the sink's reach, so that the claim is seen to stand still before it is repaired.
        await world.links["olap-sink->primary"].cut()
        lost = await world.lose_row(topic)
        batch = await batch_of(world, int(lost["row"]["row_version"]))
        alarm = await named(world, told_before, batch, topic)
        during = await answers(one, 2 * STILL)
        later = await one.write()
        await world.links["olap-sink->primary"].heal()
        after = await one.until_covered(later)
    written = facts_of(one.notes.history).values[batch["value"]]
    assert written.token is not None
    # Beats before the lost row may still come; none that was committed after it is ever claimed.
    assert all((answer.position or 0) <= written.token[1] for answer in during)
    assert newest(during[STILL:]) <= newest(during[:STILL])
    assert topic == LEDGER.name or alarm["table"] == HISTORY.table
    assert after.beat is not None
    assert after.beat > newest(during)
    assert check(one.notes.history).violations == []


async def named(world: World, before: int, batch: asyncpg.Record, topic: str) -> dict[str, Any]:
    """Return the alarm that names this batch, once there is one. Raises TimeoutError if there is none."""
    async with asyncio.timeout(WAIT):
        while True:
            for alarm in list(alarms(world))[before:]:
                if alarm.get("writer") == batch["writer"] and _names(alarm, batch, topic):
                    return alarm
            await asyncio.sleep(0.05)


async def answers(one: Site, count: int) -> list[ReadAnswered]:
    """Return so many answers, a beat apart."""
    found: list[ReadAnswered] = []
    async with asyncio.timeout(WAIT):
        while len(found) < count:
            answer = await one.read()
            if answer is not None:
                found.append(answer)
            await asyncio.sleep(0.1)  # a beat
    return found


def newest(found: list[ReadAnswered]) -> int:
    """Return the newest beat that was claimed. One whose age is not kept any more is claimed as one before it."""
    return max(answer.beat or 0 for answer in found)


def _names(alarm: dict[str, Any], batch: asyncpg.Record, topic: str) -> bool:
    if topic == LEDGER.name:
        return bool(alarm.get("first", -1) <= batch["sequence"] <= alarm.get("last", -1))
    return bool(alarm.get("sequence") == batch["sequence"])
