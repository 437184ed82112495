"""One server: its log, sessions, commits, replay, crash and promotion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from asyncpg import exceptions as pg
from checker.sim.pg.store import Store
from checker.sim.process import Process

if TYPE_CHECKING:
    from checker.sim.pg.cluster import Cluster
    from checker.sim.pg.session import Backend

Changes = list[tuple[str, Any]]
WAL_PAGE = 8192
SEQUENCE_AHEAD = 32  # values of a sequence that one record of the log covers


class Commit:
    """One committed transaction: where its record ends, and what it changed."""

    __slots__ = ("at", "changes", "events", "lsn", "number")

    def __init__(self, number: int, lsn: int, changes: Changes, at: float) -> None:
        self.number, self.lsn, self.changes, self.at = number, lsn, changes, at
        self.events: list[Any] | None = None  # what the connector makes of it, once made


class Timeline:
    """A line of the log: commits in order, the tables they make, and the positions at which sequences were logged."""

    def __init__(self, number: int, start_lsn: int) -> None:
        self.number, self.start_lsn = number, start_lsn
        self.fork = 0  # commits that it has in common with its parent
        self.commits: list[Commit] = []
        self.store = Store()
        self.sequences: list[tuple[int, str, int]] = []  # lsn, sequence, value that is never given again
        self.ancestors: list[tuple[int, int]] = []  # earlier lines, each with where it ends in this one

    def add(self, lsn: int, changes: Changes, at: float) -> Commit:
        commit = Commit(len(self.commits) + 1, lsn, changes, at)
        self.commits.append(commit)
        self.store.apply(commit.number, changes)
        return commit

    def forked(self, number: int, kept: int, lsn: int) -> Timeline:
        """A new line with the first `kept` commits of this one."""
        fork = Timeline(number, lsn)
        fork.fork = kept
        fork.store.tenants = self.store.tenants
        for commit in self.commits[:kept]:
            same = fork.add(commit.lsn, commit.changes, commit.at)
            same.events = commit.events
        fork.sequences = [logged for logged in self.sequences if logged[0] <= lsn]
        return fork


class Server:
    """A primary or a standby. `visible` is the number of commits that a new snapshot shows."""

    def __init__(self, cluster: Cluster, process: Process, timeline: Timeline, *, standby: bool) -> None:
        self.cluster, self.process, self.timeline = cluster, process, timeline
        self.chance = cluster.world.chance
        self.in_recovery = standby
        self.ready = True
        self.started = cluster.world.number()  # another number for each life
        self.visible = len(timeline.commits)
        last = timeline.commits[-1].lsn if timeline.commits else timeline.start_lsn
        self.insert_lsn = self.flush_lsn = last
        self.flushed = self.visible  # commits below flush_lsn
        self.replayed_lsn = last
        self.received = self.visible
        self.received_lsn = last
        self.replay_paused = False
        self.replay_delay = 0.0
        self.recovery = 0.2  # seconds from the start of a standby until it has replayed its own log
        self.slow_fsync = self.slow_query = 0.0
        self.upstream: Server | None = None
        self.synchronous: tuple[str, ...] = ()  # standbys of which one must have a commit before it is acknowledged
        self.receiver: str | None = None  # status of the receiver
        self.receiver_timeline: int | None = None
        self.restart_point = self.visible
        self.backends: dict[int, Backend] = {}
        self.sequences: dict[str, int] = {}
        self.locks: dict[Any, Lock] = {}
        self.places: dict[tuple[int, int], Backend] = {}
        self._flush_free = 0.0
        self._heard: dict[str, int] = {}
        self.measured_lag: float | None = None  # as pg_stat_replication would show it
        self._waiting: list[tuple[int, asyncio.Future[bool]]] = []
        self.on_flush: list[Callable[[], None]] = []
        self._last_word = 0.0

    # -- the log

    def append(self, size: int) -> int:
        """Put a record into the log and return where it ends."""
        end = self.insert_lsn + size
        if (self.insert_lsn // WAL_PAGE) != (end // WAL_PAGE):
            end += 24
        self.insert_lsn = end
        return end

    def nextval(self, sequence: str) -> int:
        value = self.sequences.get(sequence, 0) + 1
        self.sequences[sequence] = value
        logged = max((upto for _, name, upto in self.timeline.sequences if name == sequence), default=0)
        if value > logged:
            self.timeline.sequences.append((self.append(99), sequence, value + SEQUENCE_AHEAD))
        return value

    async def commit(self, changes: Changes) -> bool:
        """Commit, visible and durable when this returns; True if the wait for the synchronous standbys was given up."""
        loop = self.process.loop
        size = 80 + 110 * len(changes)
        end = self.append(size)
        commit = self.timeline.add(end, changes, loop.time())
        # One flush at a time; what came meanwhile goes with the next.
        begin = max(loop.time(), self._flush_free)
        self._flush_free = begin + self.chance.uniform(0.0002, 0.002) + self.slow_fsync
        if self.cluster.settings["synchronous_commit"] == "off":
            self.visible = max(self.visible, commit.number)
            loop.call_at(self._flush_free + 0.2, self._flushed, commit)
            return False
        await _until(loop, self._flush_free)
        self._flushed(commit)
        warned = await self._replicated(end)
        if self.chance.random() < 0.3:
            await _until(loop, loop.time() + self.chance.expovariate(1000))
        self.visible = max(self.visible, commit.number)
        return warned

    def _flushed(self, commit: Commit) -> None:
        if commit.lsn > self.flush_lsn:
            self.flush_lsn, self.flushed = commit.lsn, commit.number
            for listener in self.on_flush:
                listener()
            for standby in self.cluster.standbys_of(self):
                self.stream_to(standby)

    async def _replicated(self, end: int) -> bool:
        names = self.synchronous
        if not names or self.in_recovery or self.cluster.settings["synchronous_commit"] == "local":
            return False
        if any(self._heard.get(name, 0) >= end for name in names):
            return False
        waiting = self.process.loop.create_future()
        self._waiting.append((end, waiting))
        try:
            return bool(await waiting)
        finally:
            self._waiting = [pair for pair in self._waiting if pair[1] is not waiting]

    def heard(self, standby: str, lsn: int) -> None:
        """A standby says that it has the log up to here on disk."""
        if lsn > self._heard.get(standby, 0):
            written = next((one.at for one in reversed(self.timeline.commits) if one.lsn <= lsn), None)
            self.measured_lag = None if written is None else self.process.loop.time() - written
        self._heard[standby] = max(self._heard.get(standby, 0), lsn)
        if standby in self.synchronous:
            for end, waiting in self._waiting:
                if end <= lsn and not waiting.done():
                    waiting.set_result(False)

    def give_up_waiting(self) -> None:
        """Cancel every wait for a synchronous standby, as an operator or a cancel request may."""
        for _, waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(True)

    # -- replication

    def stream_to(self, standby: Server) -> None:
        if standby.receiver == "streaming":
            self.cluster.world.network.send(
                self.process, standby.process, standby.receive, self.timeline, self.flushed, self.flush_lsn
            )

    def receive(self, timeline: Timeline, flushed: int, lsn: int) -> None:
        """Take the log up to there; what is replayed becomes visible a little later."""
        if timeline is not self.timeline or not self.in_recovery or self.receiver is None:
            return
        self._last_word = self.process.loop.time()
        self.received, self.received_lsn = max(self.received, flushed), max(self.received_lsn, lsn)
        if self.upstream is not None:
            upstream = self.upstream
            self.cluster.world.network.send(
                self.process, upstream.process, upstream.heard, self.process.name, self.received_lsn
            )
        delay = self.replay_delay + self.chance.uniform(0.0001, 0.001)
        self.process.loop.call_later(delay, self.replay, self.received, self.received_lsn)

    def replay(self, through: int, lsn: int) -> None:
        if not self.in_recovery or self.replay_paused or not self.ready:
            return
        self.visible = max(self.visible, min(through, self.received))
        self.replayed_lsn = max(self.replayed_lsn, min(lsn, self.received_lsn))

    def set_replay_paused(self, paused: bool) -> None:
        self.replay_paused = paused
        if not paused:
            self.replay(self.received, self.received_lsn)

    async def follow(self, upstream: Server) -> None:
        """Be a standby of that server: connect, stream, and connect again when nothing is heard for a while."""
        self.upstream = upstream
        loop = self.process.loop
        while self.in_recovery and self.upstream is upstream:
            if self.receiver is None and self._reachable(upstream):
                self.receiver, self.receiver_timeline = "streaming", upstream.timeline.number
                self._last_word = loop.time()
                upstream.stream_to(self)
            elif self.receiver is not None and loop.time() - self._last_word > self.cluster.receiver_timeout:
                self.receiver = self.receiver_timeline = None
            elif self.receiver is not None:
                upstream.process.loop.call_soon(upstream.stream_to, self)  # keepalive
            await asyncio.sleep(0.5)

    def _reachable(self, upstream: Server) -> bool:
        network = self.cluster.world.network
        there = network.passes(self.process.name, upstream.process.name)
        back = network.passes(upstream.process.name, self.process.name)
        up = upstream.ready and upstream.process.alive and not upstream.process.loop.halted
        return there and back and up and upstream.timeline is self.timeline

    def contents(self, tenant: int) -> Iterator[tuple[int, str, int, int]]:
        """Every visible observation of a tenant: entity, attribute, event time, value."""
        store, snapshot = self.timeline.store, self.visible
        for entity in sorted(store.members[tenant]):
            state = store.entities[tenant, entity].at(snapshot)
            if state is None or state["deleted"]:
                continue
            for attribute in sorted(store.carried[tenant, entity]):
                text = store.text_of("attribute_keys", tenant, attribute, snapshot) or "?"
                floor = store.floor(tenant, entity, attribute, snapshot)
                chain = store.history[tenant, entity, attribute]
                for row in chain.visible(snapshot, floor, -(1 << 62), 1 << 62, descending=False):
                    yield entity, text, row["event_time"], row["value_int"]

    # -- life

    def crash(self) -> None:
        """Stop at once. What was not flushed is gone; what was acknowledged is not."""
        self.ready = False
        self.receiver = self.receiver_timeline = None
        if not self.in_recovery:
            self._lose_unflushed()
            if self.cluster.resolve("primary") is self:
                self.cluster.slot.transactions = 0  # its statistics are not kept over a crash
        self.process.kill()
        self.backends.clear()
        self.locks.clear()
        self.places.clear()
        self._waiting.clear()

    def _lose_unflushed(self) -> None:
        timeline = self.timeline
        if self.flushed < len(timeline.commits):
            kept = timeline.forked(timeline.number, self.flushed, self.flush_lsn)
            kept.fork, kept.ancestors = timeline.fork, timeline.ancestors
            kept.start_lsn = timeline.start_lsn
            self.cluster.replaced(timeline, kept)
        self.insert_lsn = self.flush_lsn

    def start(self) -> None:
        """Start after a crash. A standby shows what its last restart point had, and replays on from its own disk."""
        self.process.restart()
        self.ready, self.started = True, self.cluster.world.number()
        self._heard.clear()
        if self.in_recovery:
            commits = self.timeline.commits
            kept = self.chance.randint(min(self.restart_point, self.visible), self.visible)
            self.visible = kept
            self.replayed_lsn = commits[kept - 1].lsn if kept else self.timeline.start_lsn
            if self.upstream is not None:
                self.process.run(self._recover(self.upstream), "recovery")
        else:
            self.visible = self.flushed = len(self.timeline.commits)
            self._restore_sequences()

    async def _recover(self, upstream: Server) -> None:
        await asyncio.sleep(self.recovery)
        while self.replay_paused:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.05)
        self.replay(self.received, self.received_lsn)
        await asyncio.sleep(self.chance.uniform(0.01, 0.2))
        await self.follow(upstream)

    def _restore_sequences(self) -> None:
        self.sequences = {}
        for lsn, name, upto in self.timeline.sequences:
            if lsn <= self.flush_lsn:
                self.sequences[name] = max(self.sequences.get(name, 0), upto)

    def promote(self, number: int) -> Timeline:
        """Become a primary on a new timeline with all that was received; return the line."""
        lsn = self.received_lsn
        before = self.timeline
        self.timeline = before.forked(number, self.received, lsn)
        self.timeline.ancestors = [*before.ancestors, (before.number, lsn)]
        self.in_recovery = False
        self.upstream = None
        self.receiver = self.receiver_timeline = None
        self.visible = self.flushed = len(self.timeline.commits)
        self.timeline.start_lsn = lsn
        self.insert_lsn = self.flush_lsn = lsn + 120  # the checkpoint that ends recovery
        self._heard.clear()
        self._restore_sequences()
        return self.timeline


class Lock:
    """A lock of a row or an advisory one: shared by many or held by one, in order of arrival."""

    def __init__(self) -> None:
        self.holders: dict[int, bool] = {}  # backend -> shared
        self.waiting: list[tuple[int, bool, asyncio.Future[None]]] = []

    def fits(self, backend: int, *, shared: bool) -> bool:
        others = [held for holder, held in self.holders.items() if holder != backend]
        return not others or (shared and all(others))

    def take(self, backend: int, *, shared: bool) -> None:
        self.holders[backend] = self.holders.get(backend, True) and shared

    def release(self, backend: int) -> None:
        self.holders.pop(backend, None)
        self.waiting = [entry for entry in self.waiting if entry[0] != backend]
        while self.waiting and self.fits(self.waiting[0][0], shared=self.waiting[0][1]):
            waiter, shared, granted = self.waiting.pop(0)
            if not granted.done():
                self.take(waiter, shared=shared)
                granted.set_result(None)


async def _until(loop: Any, when: float) -> None:
    done = loop.create_future()
    loop.call_at(when, _done, done)
    await done


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def gone() -> Exception:
    """What a client gets when its server is not there any more."""
    return pg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
