"""A failover as an operator does it: the old primary is fenced off, or under a quorum perhaps only cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from checker.sim.pg.server import Commit
from checker.sim.process import Process
from checker.sim.world import SECOND_MONITOR

if TYPE_CHECKING:
    from checker.sim.run import Run

# Who may go on for a while in the belief that the old server is the primary.
BELIEVERS = ("query-router", "lag-monitor", "ingest", "olap-sink")


class Failover:
    """One promotion of the standby; ended, the old primary is made anew as a standby of the new one."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._world, self._cluster = run.world, run.world.cluster
        self._old, self._new = self._cluster.resolve("primary"), self._cluster.resolve("replica")
        # A cut-off primary without its quorum acknowledges nothing, so that it may live on.
        self._ended = False
        self._zombie = run.outcome.mode == "quorum" and run.chance.random() < 0.6

    def begin(self) -> Callable[[], None]:
        if self._zombie:
            self._world.link(self._old.process.name, self._new.process.name).cut = True
        else:
            self._old.crash()
        if not self._new.ready:
            self._new.start()
        self._world.scheduler.after(self._run.chance.uniform(0.05, 0.8), self._promote)
        return self._end

    def _promote(self) -> None:
        if not self._new.in_recovery:
            return
        line = self._cluster.promote(self._new)
        self._note_losses(self._old.timeline.commits[line.fork :], line.number)
        self._cluster.names["primary"] = self._new.process.name
        if self._run.outcome.mode == "quorum":
            third = Process(self._world, "pg-c")
            self._world.processes[third.name] = third
            self._new.synchronous = (third.name,)
            self._cluster.add_standby(third, self._new)
        if self._zombie:
            self._world.scheduler.after(self._run.chance.uniform(0.05, 0.3), self._move_on)
        for process in BELIEVERS:
            if self._run.chance.random() < 0.4:
                self._world.stale_names[process, "primary"] = self._old.process.name
                later = self._run.chance.uniform(0.1, 2.0)
                self._world.scheduler.after(later, self._world.stale_names.pop, (process, "primary"), None)

    def _move_on(self) -> None:
        """Writers and a monitor go to the new primary, while the old one and who reads it live on."""
        if self._ended:
            return
        self._world.stale_names.pop(("ingest", "primary"), None)
        self._world.restart("ingest")
        if self._run.chance.random() < 0.5:
            self._world.start_second_monitor()
        else:
            self._world.stale_names.pop(("lag-monitor", "primary"), None)
            self._world.restart("lag-monitor")

    def _end(self) -> None:
        self._promote()
        self._ended = True
        if SECOND_MONITOR in self._world.processes:
            self._world.processes.pop(SECOND_MONITOR).kill()
        if self._zombie:
            self._world.heal(self._old.process.name, self._new.process.name)
        self._cluster.rebuild(self._old, self._new)
        self._cluster.names["replica"] = self._old.process.name
        self._world.stale_names.clear()

    def _note_losses(self, commits: Sequence[Commit], timeline: int) -> None:
        clients = self._run.clients
        values = {
            row["value_int"]
            for commit in commits
            for table, row in commit.changes
            if table == "entity_attributes" and row["value_int"] is not None
        }
        ops = {clients.op_of_value[value] for value in values if value in clients.op_of_value}
        if ops:
            clients.lose(ops, timeline)
