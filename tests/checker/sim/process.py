"""Processes, their clocks, and the links between them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from atlaskit.clock import BootInstant
from checker.sim.loop import Handle, ProcessLoop, Scheduler, SimTask

WALL_BEGIN = datetime(2026, 6, 1, tzinfo=UTC)


class SimClock:
    """The clocks of one process: each with an origin and a rate of its own; in a suspend only boot time runs."""

    def __init__(self, scheduler: Scheduler, chance: random.Random) -> None:
        self._scheduler = scheduler
        self._boot_origin = chance.uniform(0, 1e6)
        self._rate = 1 + chance.uniform(-4e-4, 4e-4)
        self._mono_origin = chance.uniform(0, 1e6)
        self._slept = 0.0
        self.wall_step = chance.uniform(-3600, 3600)

    def boot(self) -> BootInstant:
        return BootInstant(int((self._boot_origin + self._scheduler.now * self._rate) * 1e9))

    def monotonic(self) -> float:
        return self._mono_origin + self._scheduler.now * self._rate - self._slept

    def slept(self, seconds: float) -> None:
        """The machine was suspended for so long: monotonic time did not run."""
        self._slept += seconds

    def wall(self) -> datetime:
        return WALL_BEGIN + timedelta(seconds=self._scheduler.now + self.wall_step)


class Process:
    """One process: a loop, clocks, and what its peers hear when it dies."""

    def __init__(self, world: Network, name: str) -> None:
        self.world, self.name = world, name
        self.scheduler = world.scheduler
        self.loop = ProcessLoop(self.scheduler, name)
        self.loop.process = self
        self.clock = SimClock(self.scheduler, world.chance)
        self.life = 0
        self.on_death: dict[int, Callable[[], None]] = {}
        self._deaths = 0
        self.service: dict[str, Any] | None = None  # what it serves, once it does
        self.stop: asyncio.Event | None = None  # asks it to end in order
        self.ended = False

    @property
    def alive(self) -> bool:
        return not self.loop.dead

    def hear_death(self, callback: Callable[[], None]) -> int:
        self._deaths += 1
        self.on_death[self._deaths] = callback
        return self._deaths

    def run(self, coroutine: Coroutine[Any, Any, Any], name: str = "main") -> asyncio.Task[Any]:
        """Start a task in this process, from wherever."""
        self.scheduler.tasks += 1
        return SimTask(coroutine, number=self.scheduler.tasks, loop=self.loop, name=name)

    def kill(self) -> None:
        """End at once, as by SIGKILL: nothing more runs, and every peer's connection is reset."""
        if self.loop.dead:
            return
        self.service = None
        self.loop.kill()
        callbacks, self.on_death = list(self.on_death.values()), {}
        for callback in callbacks:
            callback()

    def restart(self) -> None:
        """A new life with nothing in memory; its clock is that of the same machine."""
        self.loop = ProcessLoop(self.scheduler, self.name)
        self.loop.process = self
        self.life += 1
        self.ended, self.stop = False, None


class Link:
    """Between two names. `cut`: nothing passes, and is held; `slow` multiplies the delays; `one_way`: only from it."""

    __slots__ = ("base", "cut", "held", "one_way", "slow")

    def __init__(self, base: float) -> None:
        self.base = base
        self.cut = False
        self.one_way: str | None = None
        self.slow = 1.0
        self.held: list[tuple[Process, Callable[..., object], tuple[Any, ...]]] = []


class Network:
    """All links. Messages of one pair of processes in one direction stay in order where they share a `lane`."""

    def __init__(self, scheduler: Scheduler, chance: random.Random) -> None:
        self.scheduler, self.chance = scheduler, chance
        self.links: dict[tuple[str, str], Link] = {}

    def link(self, one: str, other: str) -> Link:
        key = (one, other) if one < other else (other, one)
        found = self.links.get(key)
        if found is None:
            found = self.links[key] = Link(self.chance.choice((0.0001, 0.0003, 0.001)))
        return found

    def send(
        self,
        source: Process,
        target: Process,
        callback: Callable[..., object],
        *args: Any,
        lane: list[float] | None = None,
        extra: float = 0.0,
    ) -> None:
        """Run `callback` in the target after the way there, `extra` seconds later than the link alone takes."""
        one, other = source.name, target.name
        link = self.links.get((one, other) if one < other else (other, one)) or self.link(one, other)
        if link.cut or (link.one_way is not None and link.one_way != source.name):
            link.held.append((target, callback, args))
            return
        when = self.scheduler.now + extra + link.base * link.slow * (0.5 + self.chance.random())
        if lane is not None:
            if lane[0] > when:
                when = lane[0]
            lane[0] = when
        self.scheduler.push(when, Handle(target.loop, callback, args, _CONTEXT))

    def passes(self, source: str, target: str) -> bool:
        link = self.link(source, target)
        return not link.cut and (link.one_way is None or link.one_way == source)

    def heal(self, one: str, other: str) -> None:
        """Let all pass again; of what was held some is repeated by the sender's kernel, in order, and some is lost."""
        link = self.link(one, other)
        link.cut, link.one_way, link.slow = False, None, 1.0
        held, link.held = link.held, []
        keep = self.chance.random() < 0.7
        for number, (target, callback, args) in enumerate(held):
            if keep:
                target.loop.call_at(self.scheduler.now + link.base + number * 1e-6, callback, *args, context=_CONTEXT)


def _empty_context() -> Any:
    import contextvars

    return contextvars.Context()


_CONTEXT = _empty_context()


def current() -> Process:
    """The process whose code runs now."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ProcessLoop)
    process = loop.process
    assert isinstance(process, Process)
    return process
