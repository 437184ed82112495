"""A read with a token shows the write that the token is of, or nothing at all, however late the copies are.

`make check-tokens` makes 10,000 write-then-reads from each copy, and as many reads of sessions that hop between copies;
here it is a small part of that.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from atlas.query.v1 import query_service_pb2 as pb
from atlas_client import AtlasClient, CallFailed, Policy, Requirement, Session, Source, Tenant, UseCase, Write
from atlas_local.launch import Launched
from atlas_local.process import ChildProcess

COUNT = int(os.environ.get("ATLAS_TEST_TOKENS", "120"))
SEED = int(os.environ.get("ATLAS_TEST_SEED", "20260101"))
WORKERS = {Source.PRIMARY: 8, Source.REPLICA: 16, Source.OLAP: 24}
READERS = 8
PATIENCE = timedelta(seconds=60)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MAX = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_MAX)]
BY_ENTITY = [pb.Grouping(entity=True)]
# One of the four kinds of reads each; most ask for an entity, which costs the copies least.
KINDS = ("entity",) * 17 + ("list", "history", "figures")

pytestmark = pytest.mark.timeout(120 + COUNT)


@dataclass
class Counts:
    """What came of the reads."""

    stale: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        ends = ", ".join(f"{count:,} {end}" for end, count in sorted(self.ends.items()))
        return f"{self.ends.total():,} reads, {len(self.stale)} stale; {ends}"


class Spells:
    """Random spans of time, until `over`."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.over = asyncio.Event()

    async def passed(self, longest: float) -> bool:
        """Let up to so many seconds pass; False: it is over."""
        try:
            async with asyncio.timeout(self._chance.uniform(0.0, longest)):
                await self.over.wait()
        except TimeoutError:
            return True
        return False


async def pause_replay(replica: asyncpg.Connection[Any], spells: Spells, held: Counter[str]) -> None:
    """Hold up the replica's replay again and again."""
    try:
        while await spells.passed(0.5):
            await replica.execute("SELECT pg_wal_replay_pause()")
            held["replay paused"] += 1
            await spells.passed(0.4)
            await replica.execute("SELECT pg_wal_replay_resume()")
    finally:
        await replica.execute("SELECT pg_wal_replay_resume()")


async def stop_sink(sink: ChildProcess, spells: Spells, held: Counter[str]) -> None:
    """Hold up the sink again and again."""
    try:
        while await spells.passed(1.0):
            sink.pause()
            held["sink stopped"] += 1
            await spells.passed(0.5)
            sink.resume()
    finally:
        sink.resume()


@asynccontextmanager
async def late_copies(atlas: Launched, chance: random.Random) -> AsyncIterator[Counter[str]]:
    """Hold up the replica's replay and the sink again and again, for random spans; yield how often each was."""
    spells, held = Spells(chance), Counter[str]()
    replica = await asyncpg.connect(atlas.stack.replica_dsn())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pause_replay(replica, spells, held))
            group.create_task(stop_sink(atlas.process("olap-sink"), spells, held))
            try:
                yield held
            finally:
                spells.over.set()
    finally:
        await replica.close()


async def value_read(
    client: AtlasClient, kind: str, tenant: int, entity: str, number: int, freshness: Requirement
) -> Any:
    """Return the newest value of an entity's attribute `k`, by one of the four kinds of reads; None: there is none."""
    options: dict[str, Any] = {"freshness": freshness, "timeout": PATIENCE}
    match kind:
        case "entity":
            values = (await client.get_entity(tenant, entity, ["k"], **options)).entity.values
            return values["k"].value if "k" in values else None
        case "history":
            page = await client.history(tenant, entity, "k", newest_first=True, page_size=1, **options)
            return page.observations[0].value if page.observations else None
        case "list":
            found = (await client.list_entities(tenant, attributes=["k"], page_size=1000, **options)).entities
            return next((one.values["k"].value for one in found if one.entity_key == entity and one.values), None)
        case _:
            groups = (await client.aggregate([tenant], "k", MAX, group_by=BY_ENTITY, **options)).groups
            return next((g.results[0].value.int64_value for g in groups if g.keys[0].entity_id == number), None)


async def write_then_read(
    client: AtlasClient, tenant: int, source: Source, counts: Counts, share: int, who: int
) -> None:
    """Write a greater number each time and read it back from one copy with the token of the write."""
    chance, entity = random.Random(f"{SEED} {source} {who}"), f"{source}-{who}"
    number = -1
    for turn in range(1, share + 1):
        written = await client.write_rows(tenant, [Write(entity, "k", turn, BEGIN + timedelta(seconds=turn))])
        wanted = Requirement(UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=written.token, only_source=source)
        if number < 0:
            whole = await client.get_entity(tenant, entity, freshness=wanted, timeout=PATIENCE)
            number = whole.entity.entity_id
        kind = chance.choice(KINDS)
        try:
            seen = await value_read(client, kind, tenant, entity, number, wanted)
        except CallFailed as failure:
            counts.ends[f"refused: {failure.reason}"] += 1
            continue
        counts.ends[f"{kind} answered"] += 1
        if seen != turn:
            counts.stale.append(f"{kind} of {entity} from {source} showed {seen!r} after {turn} with {written.token}")


@pytest.mark.parametrize("source", list(WORKERS))
async def test_a_read_with_a_token_is_never_older_than_the_write(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], source: Source
) -> None:
    tenant, counts, workers = (await new_tenant()).tenant_id, Counts(), WORKERS[source]
    async with late_copies(atlas, random.Random(SEED)) as held, asyncio.TaskGroup() as group:
        for who in range(workers):
            share = COUNT // workers + (who < COUNT % workers)
            group.create_task(write_then_read(client, tenant, source, counts, share, who))
    print(f"{source}: {counts}; {dict(held)}")  # noqa: T201
    assert counts.stale == []
    assert counts.ends.total() == COUNT
    refused = sum(count for end, count in counts.ends.items() if end.startswith("refused"))
    assert refused <= COUNT // 100  # a refusal is honest, and of no use to who waits for a minute


async def hop(client: AtlasClient, tenant: int, counts: Counts, share: int, who: int) -> None:
    """Read one entity from copies drawn at random, in one session; what it shows may only grow."""
    chance, session, last = random.Random(f"{SEED} hop {who}"), Session(), 0
    for _ in range(share):
        source = chance.choice(list(WORKERS))
        wanted = Requirement(UseCase.ANALYTICS, policy=Policy.WAIT, only_source=source)
        try:
            answer = await client.get_entity(tenant, "e", ["k"], freshness=wanted, session=session, timeout=PATIENCE)
        except CallFailed as failure:
            counts.ends[f"refused: {failure.reason}"] += 1
            continue
        counts.ends[f"{source} answered"] += 1
        seen = answer.entity.values["k"].value
        assert isinstance(seen, int)
        if seen < last:
            counts.stale.append(f"{source} showed {seen} after {last} with {session.token}")
        last = max(last, seen)


async def test_a_session_that_hops_between_copies_never_goes_back(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant, counts = (await new_tenant()).tenant_id, Counts()
    first = await client.write_rows(tenant, [Write("e", "k", 0, BEGIN)])
    for source in WORKERS:
        await client.wait_for_position(tenant, first.token, source, timeout=PATIENCE)

    async def keep_writing() -> None:
        turn = 0
        while True:
            turn += 1
            await client.write_rows(tenant, [Write("e", "k", turn, BEGIN + timedelta(milliseconds=turn))])
            await asyncio.sleep(0.01)

    async with late_copies(atlas, random.Random(SEED + 1)) as held, asyncio.TaskGroup() as group:
        writing = group.create_task(keep_writing())
        async with asyncio.TaskGroup() as readers:
            for who in range(READERS):
                share = COUNT // READERS + (who < COUNT % READERS)
                readers.create_task(hop(client, tenant, counts, share, who))
        writing.cancel()
    print(f"sessions: {counts}; {dict(held)}")  # noqa: T201
    assert counts.stale == []
    assert counts.ends.total() == COUNT
