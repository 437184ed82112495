"""What a campaign asks of Atlas all the time: small batches, corrections, deletes, loads, and every kind of read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from atlas_client.session import later
from checker.history import Item
from checker.processes import wire
from checker.processes.clients import Reader, Writer
from checker.processes.notebook import Notebook
from checker.processes.wire import CLASSES, Asked, Class
from grpc import aio

ENTITIES = tuple(f"e{number}" for number in range(6))
ATTRIBUTES = ("a0", "a1", "a2")
DELETED = "d"  # the attribute whose observations are deleted now and then
METRONOME = "m/tick"  # written without a pause: how old an answer about it is says how old the copy is
POLICIES = ("wait", "fail_fast", "degrade")
METRONOME_PAUSE = 0.01  # seconds
BULK_ROWS = 4_000
_PINNED = {one.only: one for one in CLASSES if one.only}


@dataclass(frozen=True, slots=True)
class Workload:
    """Writers and readers of some tenants, until `over` is set. Each of its tasks is one client."""

    ingest: aio.Channel
    query: aio.Channel
    notes: Notebook
    tenants: Sequence[int]
    over: asyncio.Event
    calm_is_over: asyncio.Event = field(default_factory=asyncio.Event)
    deletes: bool = True
    pause: float = 0.05  # seconds between two writes of a client, and between two reads

    async def begin(self) -> None:
        """Give every key its first value, so that every read finds something. Raises AssertionError if it cannot."""
        for tenant in self.tenants:
            keys = [f"{name}/{attribute}" for name in ENTITIES for attribute in (*ATTRIBUTES, DELETED)]
            items = tuple(self.notes.new(key) for key in [*keys, METRONOME])
            token = await Writer(self.ingest, self.notes, tenant).write(items)
            assert token is not None, "the first write failed"

    def begin_calm(self, group: asyncio.TaskGroup) -> None:
        """Start what tightness is measured with: one key that is written all the time, and one reader of each copy."""
        group.create_task(self.beat(self.tenants[0]), name="metronome")
        group.create_task(self._measure(), name="measure")

    def begin_all(self, group: asyncio.TaskGroup) -> None:
        """End the measuring and start the other clients as tasks of the group."""
        self.calm_is_over.set()
        for tenant in self.tenants:
            for number in range(2):
                group.create_task(self._write(tenant), name=f"writer-{tenant}-{number}")
        for way in CLASSES:
            group.create_task(self._read(way), name=f"reader-{way.name}-{way.only}")
        for number in range(2):
            group.create_task(self._session(number), name=f"session-{number}")

    async def load(self, tenant: int) -> None:
        """Write one batch of some thousand values: a COPY that the change stream takes a while for."""
        items = tuple(self.notes.new(f"bulk{number % 50}/b") for number in range(BULK_ROWS))
        await Writer(self.ingest, self.notes, tenant).write(items)

    async def _write(self, tenant: int) -> None:
        writer = Writer(self.ingest, self.notes, tenant)
        while not self.over.is_set():
            await writer.write(self._batch(tenant))
            await asyncio.sleep(self.pause * self.notes.chance.uniform(0.5, 1.5))

    def _batch(self, tenant: int) -> tuple[Item, ...]:
        notes, chance = self.notes, self.notes.chance
        kind = chance.random()
        if kind < 0.05 and self.deletes:
            key = f"{chance.choice(ENTITIES)}/{DELETED}"
            removal = notes.removal(tenant, key) if chance.random() < 0.5 else Item(key, None, None)
            if removal is not None:
                return (removal,)
        if kind < 0.15:
            item = notes.correction(tenant, f"{chance.choice(ENTITIES)}/{chance.choice(ATTRIBUTES)}")
            if item is not None:
                return (item,)
        name = chance.choice(ENTITIES)
        attributes = chance.sample((*ATTRIBUTES, DELETED), chance.randint(1, 4))
        return tuple(notes.new(f"{name}/{attribute}") for attribute in attributes)

    async def beat(self, tenant: int) -> None:
        """Write one key all the time, so that the age of its value tells the age of a copy."""
        writer = Writer(self.ingest, self.notes, tenant)
        while not self.over.is_set():
            await writer.write((self.notes.new(METRONOME),))
            await asyncio.sleep(METRONOME_PAUSE)

    async def _measure(self) -> None:
        reader, turn = Reader(self.query, self.notes), 0
        ways = (_PINNED["olap"], _PINNED["replica"], _PINNED["olap"], _PINNED["primary"])
        while not (self.over.is_set() or self.calm_is_over.is_set()):
            turn += 1
            asked = wire.entity(self.tenants[0], "m", ("tick",))
            await reader.read(self.tenants[0], asked, ways[turn % len(ways)], "fail_fast")
            await asyncio.sleep(self.pause * self.notes.chance.uniform(0.5, 1.5))

    async def _read(self, way: Class) -> None:
        reader, notes, chance = Reader(self.query, self.notes), self.notes, self.notes.chance
        while not self.over.is_set():
            tenant = chance.choice(self.tenants)
            token = notes.tokens.get(tenant, "") if chance.random() < 0.3 else ""
            await reader.read(tenant, self._question(tenant), way, chance.choice(POLICIES), token)
            await asyncio.sleep(self.pause * chance.uniform(0.5, 1.5))

    def _question(self, tenant: int) -> Asked:
        chance = self.notes.chance
        kind, name, attribute = chance.random(), chance.choice(ENTITIES), chance.choice(ATTRIBUTES)
        if kind < 0.6:
            return wire.entity(tenant, name, (*ATTRIBUTES, DELETED))
        if kind < 0.75:
            return wire.past(tenant, name, chance.choice((attribute, DELETED)), self.notes.recent())
        if kind < 0.9:
            return wire.listing(tenant, ENTITIES, attribute)
        return wire.number(tenant, ENTITIES, attribute)

    async def _session(self, number: int) -> None:
        """Write and read as one session that hops between the copies; its token goes with every read."""
        name, chance = f"session-{number}", self.notes.chance
        lives = 1  # a failover may lose what a session saw; its client then begins another
        tenant = self.tenants[number % len(self.tenants)]
        writer = Writer(self.ingest, self.notes, tenant, name)
        reader = Reader(self.query, self.notes)
        token = ""
        ways = (_PINNED["olap"], _PINNED["replica"], _PINNED["primary"])
        while not self.over.is_set():
            if chance.random() < 0.3:
                key = f"{chance.choice(ENTITIES)}/{chance.choice(ATTRIBUTES)}"
                token = later(token, await writer.write((self.notes.new(key),)) or "")
            asked = wire.entity(tenant, chance.choice(ENTITIES), (*ATTRIBUTES, DELETED))
            answer = await reader.read(tenant, asked, chance.choice(ways), "wait", token, name)
            if answer is not None and answer.session_token:
                token = later(token, answer.session_token)
            if reader.refused == "TOKEN_LOST":
                lives += 1
                token, name = "", f"session-{number}-{lives}"
                writer = Writer(self.ingest, self.notes, tenant, name)
            await asyncio.sleep(self.pause)
