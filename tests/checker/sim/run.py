"""One run: warm up, work under faults, heal, recover, come to rest, count."""

from __future__ import annotations

import hashlib
import importlib.util
import random
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from atlaskit.freshness.reading import PrimaryMode
from checker import history as h
from checker.sim import faults
from checker.sim.clients import Clients, Pace
from checker.sim.installed import installed, quiet
from checker.sim.loop import START, SimulationError
from checker.sim.services import Knobs
from checker.sim.world import SPREADS, SimWorld

RECOVERY = 30.0  # virtual seconds within which every class meets its budget again after the healing
# An answer of ClickHouse that a cut link swallowed is waited for so long: well within the time to recover.
CALL_LIMIT = timedelta(seconds=10)
REST = 60.0  # virtual seconds within which all copies are equal once nobody writes
QUORUM_SHARE = 0.25
AUDITED = importlib.util.find_spec("atlas_olap_sink.audit") is not None  # the sink notices what is lost before it
KINDS = frozenset(faults.KINDS) - (frozenset() if AUDITED else faults.OF_THE_LEDGER)

PACE = Pace(0.15, 0.07)


@dataclass(frozen=True)
class Plan:
    """What one seed does."""

    seed: int
    span: float = 8.0
    warm: float = 2.0  # virtual seconds before the faults; the last half of one of them with clients
    calm: float = 1.5  # at least so long under load after the healing
    readers: int = 8
    writers: int = 4
    pace: Pace = PACE
    corrections: float = 0.15  # share of values that stand at the event time of one before
    count: int = 3  # faults
    kinds: frozenset[str] = KINDS
    mode: PrimaryMode | None = None  # None: as the seed says
    mutate: Callable[[Run], AbstractContextManager[object]] = nullcontext  # a test-only switch: what to break
    rewrite: Callable[[h.History], h.History] | None = None  # what to break in the history itself
    planned: tuple[faults.Planned, ...] | None = None  # None: as the seed says
    knobs: Mapping[str, Any] = field(default_factory=dict)  # settings that the seed does not choose
    to_the_end: bool = True  # heal, recover and come to rest; without, only the time of the faults counts


@dataclass
class Outcome:
    """What a run gave: its history, and how much it took."""

    history: h.History
    virtual: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0  # seconds of this process, which other work on the machine does not stretch
    steps: int = 0
    claims: int = 0
    mode: str = ""
    converged: bool = True
    planned: list[faults.Planned] = field(default_factory=list)

    def digest(self) -> str:
        """A fingerprint of everything that was seen, and when."""
        told = hashlib.blake2b(digest_size=16)
        for event in self.history.events:
            told.update(repr(tuple(event)).encode())
        return told.hexdigest()


def simulate(plan: Plan) -> Outcome:
    """Run one seed. Raises SimulationError if the simulation itself, or a service, breaks."""
    begun, busy, outcome, failure = time.perf_counter(), time.process_time(), None, ""
    with quiet():
        # The error's frames hold the whole world: only its text leaves.
        try:
            outcome = _run(plan)
        except SimulationError as error:
            failure = "".join(traceback.format_exception(error))
    if outcome is None:
        raise SimulationError(f"seed {plan.seed}: {failure}")
    outcome.wall, outcome.cpu = time.perf_counter() - begun, time.process_time() - busy
    return outcome


def _run(plan: Plan) -> Outcome:
    run = Run(plan)
    with installed(run.world, plan.seed), plan.mutate(run):
        run.all()
    if plan.rewrite is not None:
        run.outcome.history = plan.rewrite(run.history)
    return run.outcome


class Run:
    """A run in progress."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.chance = random.Random(f"{plan.seed}/run")
        quorum = self.chance.random() < QUORUM_SHARE
        mode = plan.mode or (PrimaryMode.QUORUM if quorum else PrimaryMode.SINGLE)
        self.world = SimWorld(plan.seed, replace(_knobs(self.chance, mode), **plan.knobs))
        self.world.connector.bounded = not AUDITED or self.chance.random() < 0.3
        if mode is PrimaryMode.QUORUM:
            self.world.primary.synchronous = ("pg-b",)
        history = h.History(tier="simulation", seed=plan.seed, replay=f"make replay SEED={plan.seed}")
        self.clients = Clients(self.world, history, random.Random(f"{plan.seed}/clients"), plan.pace, plan.corrections)
        self.history = history
        self.outcome = Outcome(history, mode=mode.value)
        self._ending: list[tuple[int, faults.End]] = []

    def all(self) -> None:
        plan, world, clients = self.plan, self.world, self.clients
        world.begin()
        world.scheduler.run_until(START + plan.warm - 0.5)
        clients.start(plan.writers, plan.readers)
        begin = START + plan.warm
        planned = (
            list(plan.planned)
            if plan.planned is not None
            else faults.schedule(self.chance, plan.span, plan.count, plan.kinds)
        )
        self.outcome.planned = planned
        for number, fault in enumerate(planned, start=1):
            world.scheduler.at(begin + fault.begin, self._begin_fault, number, fault)
        world.scheduler.run_until(begin + plan.span)
        if plan.to_the_end:
            self._heal()
            self._recover()
            self._rest()
        self.outcome.virtual = world.scheduler.now - START
        self.outcome.steps = world.scheduler.steps
        self.outcome.claims = clients.claims
        broken = [fault for process in world.processes.values() for fault in process.loop.faults]
        if broken:
            raise SimulationError("; ".join(broken[:3]))

    # -- faults

    def _begin_fault(self, number: int, fault: faults.Planned) -> None:
        self.history.append(h.FaultStarted(self.clients.now(), number, fault.kind, fault.target, ""))
        end = faults.KINDS[fault.kind](self, fault)
        entry = (number, end)
        self._ending.append(entry)
        self.world.scheduler.after(fault.length, self._end_fault, entry)

    def _end_fault(self, entry: tuple[int, faults.End]) -> None:
        if entry in self._ending:
            self._ending.remove(entry)
            entry[1]()
            self.history.append(h.FaultEnded(self.clients.now(), entry[0]))

    def _heal(self) -> None:
        for entry in list(self._ending):
            self._end_fault(entry)
        self.clients.met.clear()
        self.clients.healed_from = self.history.next_op()
        self.history.append(h.Healed(self.clients.now()))

    def _recover(self) -> None:
        """Go on until every class of reads met its budget again, or the time for it is over."""
        end = self.world.scheduler.now + RECOVERY
        least = self.world.scheduler.now + self.plan.calm
        while (now := self.world.scheduler.now) < end:
            self.world.scheduler.run_until(now + 0.25)
            self.clients.process.run(self.clients.probe(), "probe")
            self._accept_change_stream()
            if self.world.scheduler.now >= least and self.clients.met >= self.clients.tried:
                return

    def _accept_change_stream(self) -> None:
        """What the runbook tells an operator: accept a broken change stream once nothing is missing behind it."""
        primary = self.world.cluster.resolve("primary")
        for cell in list(primary.timeline.store.streams.values()):
            row = cell.at(primary.visible)
            if row is None or row["broken_because"] is None or not primary.ready:
                continue
            counted = {(one.tenant, one.fingerprint) for one in self._counted() if one.copy != "replica"}
            if len(counted) == len(SPREADS):
                accepted = {
                    "generation": row["generation"] + 1,
                    "broken_because": None,
                    "transactions": 0,
                    "confirmed": 0,
                }
                primary.process.run(primary.commit([("change_streams", {**row, **accepted})]), "operator")

    def _rest(self) -> None:
        """Let writers end, and wait until all copies hold the same."""
        self.clients.writing = self.clients.reading = False
        end = self.world.scheduler.now + REST
        while self.world.scheduler.now < end:
            self.world.scheduler.run_until(self.world.scheduler.now + 0.5)
            counted = list(self._counted())
            if not self.clients.writers and len({(c.tenant, c.fingerprint) for c in counted}) == len(SPREADS):
                break
        self.history.events.extend(self._counted())

    def _counted(self) -> Iterator[h.CopyCounted]:
        world, now = self.world, self.clients.now()
        for tenant in SPREADS:
            for name in ("primary", "replica"):
                server = world.cluster.resolve(name)
                yield _copy(now, name, tenant, set(server.contents(tenant)))
            yield _copy(now, "olap", tenant, set(world.engine.contents(tenant)))


def _copy(at: int, copy: str, tenant: int, rows: set[tuple[int, ...] | tuple[object, ...]]) -> h.CopyCounted:
    told = hashlib.blake2b(repr(sorted(rows)).encode(), digest_size=8)
    return h.CopyCounted(at, copy, tenant, "2026-06-01", len(rows), told.hexdigest())


def _knobs(chance: random.Random, mode: PrimaryMode) -> Knobs:
    def ms(*choices: int) -> timedelta:
        return timedelta(milliseconds=chance.choice(choices))

    return Knobs(
        mode=mode,
        fence_interval=ms(20, 40, 60),
        beat_interval=ms(100, 200, 200),
        primary_beat_interval=ms(25, 50) if mode is PrimaryMode.QUORUM else ms(250),
        lag_interval=ms(40, 60, 100),
        poll_interval=ms(75, 150),
        olap_poll_interval=ms(150, 300),
        markers=chance.choice((10, 16, 24, 64)),
        writers=chance.choice((1, 2, 3)),
        copy_way=chance.choice(("direct", "direct", "staged")),
        sink={"call_limit": CALL_LIMIT},
    )
