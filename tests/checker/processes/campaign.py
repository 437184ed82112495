"""A campaign: clients without a pause, one episode of faults after another, healing waited for, and one history."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from atlas_client import AtlasClient
from atlas_local.process import until
from checker.checks import divergence
from checker.history import CopyCounted, FaultEnded, FaultStarted, Healed, History
from checker.index import Facts
from checker.processes.copies import counted
from checker.processes.kinds import KINDS, STORES
from checker.processes.notebook import Notebook, now
from checker.processes.schedule import Episode, Planned, written
from checker.processes.store_kinds import TO_BE_ACCEPTED, accept_changes
from checker.processes.wire import CLASSES
from checker.processes.workload import METRONOME, Workload
from checker.processes.world import SERVICES, World
from checker.verdict import Limits

TENANTS = ((1, "a"), (2, "b"), (10, "c"))  # spread over the shards, and a name
RECOVERY_SECONDS = 90.0  # within which each class meets its budget again
WARM_SECONDS = 90.0
WARM_CLAIM = 500_000_000  # nanoseconds
AGREE_SECONDS = 60.0  # within which all copies hold the same once nobody writes
LIMITS = Limits(recovery=int(RECOVERY_SECONDS * 1e9), tight=frozenset({METRONOME}))


@dataclass(frozen=True, slots=True)
class Run:
    """What to run. `calm` is the time without a fault at the beginning, in seconds; tightness is measured then."""

    seed: int
    schedule: Sequence[Episode]
    calm: float = 5.0
    end: float = inf  # in seconds of monotonic time: no episode begins after it


@dataclass(slots=True)
class Campaign:
    """One run in one world."""

    world: World
    run: Run
    say: Callable[[str], None] = lambda _: None
    notes: Notebook = field(init=False)
    _faults: int = 0

    def __post_init__(self) -> None:
        history = History(replay_command(self.run), "processes", self.run.seed)
        self.notes = Notebook(history, random.Random(self.run.seed))

    async def go(self) -> History:
        """Run it to its end and return its history. Raises AssertionError if a part ended by itself."""
        world = self.world
        async with AtlasClient.connect(world.atlas.ingest, world.atlas.query) as client:
            tenants = [
                (await client.create_tenant(f"campaign/{self.run.seed}/{now()}/{name}", shard_spread=spread)).tenant_id
                for spread, name in TENANTS
            ]
        # Whether a delete survived a failover cannot be told from what is stored.
        deletes = all(planned.kind != "failover" for episode in self.run.schedule for planned in episode)
        load = Workload(world.ingest, world.query, self.notes, tenants, asyncio.Event(), deletes=deletes)
        await load.begin()
        async with asyncio.TaskGroup() as group:
            load.begin_calm(group)
            try:
                await self._warm()
                await asyncio.sleep(self.run.calm)  # its length is the measure's
                load.begin_all(group)
                await self._met(0)
                for number, episode in enumerate(self.run.schedule, start=1):
                    if time.monotonic() > self.run.end:
                        self.say(f"the time is over before episode {number}")
                        break
                    await self._episode(load, episode, f"{number}/{len(self.run.schedule)}")
            finally:
                load.over.set()
        await self._agreed(tenants)
        return self.notes.history

    async def _episode(self, load: Workload, episode: Episode, number: str) -> None:
        begin = now()
        async with asyncio.TaskGroup() as group:
            for planned in episode:
                group.create_task(self._befall(load, planned), name=str(planned))
        await self.world.links.heal()
        self._expect_running()
        healed = now()
        self.notes.history.append(Healed(healed))
        met = await self._met_with_an_operator(episode, healed)
        took = (now() - healed) / 1e9
        outcome = f"healed in {took:.1f} s" if met else f"NOT HEALED after {took:.0f} s"
        self.say(f"episode {number}: {written([episode])}: {(healed - begin) / 1e9:.1f} s, {outcome}")
        if not met:
            self._tell_logs()

    async def _befall(self, load: Workload, planned: Planned) -> None:
        await asyncio.sleep(planned.after)  # a moment of the schedule
        self._faults += 1
        number = self._faults
        self.notes.history.append(FaultStarted(now(), number, planned.kind, planned.target, str(planned)))
        async with KINDS[planned.kind](self.world, load, planned):
            await asyncio.sleep(planned.seconds)  # its length is the fault's
        self.notes.history.append(FaultEnded(now(), number))

    async def _warm(self) -> None:
        """Return once the copies keep pace: compilers and caches have just been started. What is read so far counts,
        and is not called quiet. Raises TimeoutError if they never do."""
        async with asyncio.timeout(WARM_SECONDS):
            await until(lambda: 0 < self.notes.claims.get("olap", 0) < WARM_CLAIM, every=0.05)
        self.notes.history.append(Healed(now()))

    async def _met_with_an_operator(self, episode: Episode, since: int) -> bool:
        """The same as `_met`, with somebody there who does what the runbook says after such faults."""
        if TO_BE_ACCEPTED.isdisjoint(planned.kind for planned in episode):
            return await self._met(since)
        async with asyncio.TaskGroup() as group:
            operator = group.create_task(accept_changes(self.world), name="operator")
            met = await self._met(since)
            operator.cancel()
        return met

    async def _met(self, since: int) -> bool:
        """Return True once every class has met its limit with a read sent after `since`, or False when time is up."""
        classes = {(one.name, one.sources) for one in CLASSES}
        with suppress(TimeoutError):
            async with asyncio.timeout(RECOVERY_SECONDS):
                await until(lambda: all(self.notes.satisfied.get(one, 0) > since for one in classes), every=0.02)
                return True
        return False

    async def _agreed(self, tenants: Sequence[int]) -> None:
        """Note what each copy holds once they agree, or what they hold when the time to agree is over."""
        end = now() + int(AGREE_SECONDS * 1e9)
        while True:
            found = await counted(self.world.stack, self.world.pair, tenants)
            if now() > end or not _differ(found):
                break
            await asyncio.sleep(0.5)
        for one in found:
            self.notes.history.append(one._replace(at=now()))

    def _tell_logs(self) -> None:
        """Say what the services and Connect have said last: what does not heal says why there."""
        for name in (*SERVICES, "connect"):
            self.say(f"--- {name}\n{self.world.atlas.process(name).log_tail(12)[-3000:]}")
        connectors = self.world.stack.connectors_log
        self.say(f"--- connectors\n{connectors.read_text('utf-8')[-3000:] if connectors.exists() else 'none failed'}")

    def _expect_running(self) -> None:
        ended = [name for name in (*SERVICES, *STORES) if not self.world.atlas.process(name).running]
        assert not ended, f"ended by themselves: {', '.join(ended)}"


def _differ(found: Sequence[CopyCounted]) -> bool:
    return any(True for _ in divergence(Facts(History(events=list(found)))))


def replay_command(run: Run) -> str:
    """Return the command that makes the same run again."""
    return f"make check-processes SEED={run.seed} CALM={run.calm:g} SCHEDULE='{written(run.schedule)}'"
