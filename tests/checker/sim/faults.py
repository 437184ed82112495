"""What goes wrong: every kind with how it begins and how it ends, and a schedule of several from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from checker.sim.clickhouse import Part
from checker.sim.failover import Failover
from checker.sim.loop import SimulationError
from checker.sim.services import SERVICES

if TYPE_CHECKING:
    from checker.sim.run import Run

End = Callable[[], None]
LINKS = (
    ("clients", "query-router"),
    ("clients", "ingest"),
    ("query-router", "lag-monitor"),
    ("query-router", "pg-a"),
    ("query-router", "pg-b"),
    ("query-router", "clickhouse"),
    ("ingest", "pg-a"),
    ("lag-monitor", "pg-a"),
    ("lag-monitor", "pg-b"),
    ("lag-monitor", "clickhouse"),
    ("lag-monitor", "kafka"),
    ("pg-a", "pg-b"),
    ("pg-a", "connect"),
    ("connect", "kafka"),
    ("olap-sink", "kafka"),
    ("olap-sink", "clickhouse"),
    ("olap-sink", "pg-a"),
)
ALL = ("pg-a", "pg-b", "kafka", "connect", "clickhouse", *SERVICES)


@dataclass(frozen=True)
class Planned:
    """One fault of a schedule: seconds after the workload began, and how long it acts."""

    kind: str
    target: str
    begin: float
    length: float
    value: float | None = None  # what the kind otherwise takes from the seed: a delay, a count

    def choice(self, run: Run, *values: float) -> float:
        """The value that was planned, or one of these."""
        return run.chance.choice(values) if self.value is None else self.value


Kind = Callable[["Run", Planned], End]


def _pause(run: Run, planned: Planned) -> End:
    loop = run.world.processes[planned.target].loop
    loop.pause()
    return loop.resume


def _kill(run: Run, planned: Planned) -> End:
    run.world.processes[planned.target].kill()
    return lambda: run.world.restart(planned.target)


def _stop(run: Run, planned: Planned) -> End:
    """SIGTERM: the service ends in its own order, and is started again."""
    stop = run.world.processes[planned.target].stop
    if stop is not None:
        run.world.processes[planned.target].loop.call_soon(stop.set)
    return lambda: run.world.restart(planned.target)


def _ends(run: Run, planned: Planned) -> tuple[str, str]:
    one, other = planned.target.split("|")
    if not {one, other} <= run.world.processes.keys():
        raise SimulationError(f"no link {planned.target}")
    return one, other


def _cut(run: Run, planned: Planned) -> End:
    one, other = _ends(run, planned)
    run.world.link(one, other).cut = True
    return lambda: run.world.heal(one, other)


def _one_way(run: Run, planned: Planned) -> End:
    one, other = _ends(run, planned)
    run.world.link(one, other).one_way = (one, other)[int(planned.choice(run, 0, 1))]
    return lambda: run.world.heal(one, other)


def _slow(run: Run, planned: Planned) -> End:
    one, other = _ends(run, planned)
    link = run.world.link(one, other)
    link.slow = planned.choice(run, 0.05, 0.2, 0.6) / link.base
    return lambda: run.world.heal(one, other)


def _suspend(run: Run, planned: Planned) -> End:
    """The machine sleeps: its boot time goes on, its monotonic time does not."""
    process = run.world.processes[planned.target]
    process.loop.pause()
    begun = run.world.scheduler.now

    def wake() -> None:
        process.clock.slept(run.world.scheduler.now - begun)
        process.loop.resume()

    return wake


def _step_wall(run: Run, planned: Planned) -> End:
    clock = run.world.processes[planned.target].clock
    step = planned.choice(run, -3600.0, -5.0, 5.0, 3600.0)
    clock.wall_step += step
    return lambda: None


def _replay_paused(run: Run, planned: Planned) -> End:
    standby = run.world.cluster.resolve("replica")
    standby.set_replay_paused(True)
    return lambda: standby.set_replay_paused(False)


def _replay_slow(run: Run, planned: Planned) -> End:
    standby = run.world.cluster.resolve("replica")
    standby.replay_delay = planned.choice(run, 0.05, 0.4, 2.0)

    def end() -> None:
        standby.replay_delay = 0.0

    return end


def _slow_queries(run: Run, planned: Planned) -> End:
    """Statements of a store take long; what they show is of their beginning."""
    stores: list[Any] = [*run.world.cluster.servers.values(), run.world.engine]
    took = planned.choice(run, 0.05, 0.2)
    for store in stores:
        store.slow_query = took

    def end() -> None:
        for store in stores:
            store.slow_query = 0.0

    return end


def _partition_stalled(run: Run, planned: Planned) -> End:
    """Partitions have no leader for a while: their records come late, those of the others do not."""
    broker = run.world.broker
    shard = int(planned.choice(run, *range(10)))
    stalled = {at for at in broker.partitions if at.partition == shard and at.topic.startswith("atlas.entit")}
    broker.stalled |= stalled

    def end() -> None:
        broker.stalled -= stalled
        broker.notify()

    return end


def _slow_fsync(run: Run, planned: Planned) -> End:
    primary = run.world.cluster.resolve("primary")
    primary.slow_fsync = planned.choice(run, 0.05, 0.2)

    def end() -> None:
        primary.slow_fsync = 0.0

    return end


def _crash_standby(run: Run, planned: Planned) -> End:
    standby = run.world.cluster.resolve("replica")
    standby.recovery = planned.choice(run, 0.05, 0.2, 0.6)
    standby.crash()
    return standby.start


def _crash_primary(run: Run, planned: Planned) -> End:
    primary = run.world.cluster.resolve("primary")
    primary.crash()
    return primary.start


def _promote(run: Run, planned: Planned) -> End:
    return Failover(run).begin()


def _restart_clickhouse(run: Run, planned: Planned) -> End:
    """The server stops; with it goes what it had in memory, and of the parts perhaps the newest."""
    world = run.world
    world.crash_clickhouse()
    horizon = world.scheduler.now - planned.choice(run, 0.0, 0.3, 2.0, 20.0)

    def lost(part: Part) -> bool:
        return part.at > horizon and run.chance.random() < 0.7

    def end() -> None:
        world.engine.restart(lost)
        world.processes["clickhouse"].restart()

    return end


def _partial_insert(run: Run, planned: Planned) -> End:
    run.world.engine.partial += run.chance.randint(1, 3)

    def end() -> None:
        run.world.engine.partial = 0

    return end


def _settings_changed(run: Run, planned: Planned) -> End:
    run.world.engine.fsync = False

    def end() -> None:
        run.world.engine.fsync = True

    return end


def _restart_connector(run: Run, planned: Planned) -> End:
    """Killed in the middle of a transaction or between two; its offsets are exact, or those of a while ago."""
    connector = run.world.connector
    connector.process.kill()
    back = int(planned.choice(run, 0, 0, 1, 5, 40))
    return lambda: connector.restart(back=back)


def _slow_connector(run: Run, planned: Planned) -> End:
    connector = run.world.connector
    connector.delay, connector.most = run.chance.choice((0.1, 0.7)), int(planned.choice(run, 3, 40, 512))

    def end() -> None:
        connector.delay, connector.most = 0.0, 512

    return end


def _doubled(run: Run, planned: Planned) -> End:
    run.world.connector.doubled += run.chance.randint(1, 60)
    return lambda: None


def _kafka_killed(run: Run, planned: Planned) -> End:
    """The broker dies and comes back with all that was acknowledged."""
    process = run.world.processes["kafka"]
    process.kill()
    return process.restart


def _event_dropped(run: Run, planned: Planned) -> End:
    run.world.connector.drop += int(planned.choice(run, 1, 1, 3))
    return lambda: None


def _transaction_dropped(run: Run, planned: Planned) -> End:
    """The next transactions of ingest are lost whole, with their rows of the ledger; perhaps nothing follows them."""
    run.world.connector.drop_whole += int(planned.choice(run, 1, 1, 2))
    return lambda: None


def _poisoned(run: Run, planned: Planned) -> End:
    """Events arrive that nobody can read."""
    run.world.connector.spoil += int(planned.choice(run, 1, 1, 3))
    return lambda: None


def _tail_dropped(run: Run, planned: Planned) -> End:
    """The connector dies in the middle of a transaction and forgets the rest of it."""
    connector = run.world.connector
    connector.most = 2
    connector.drop_tail_at_restart = True
    connector.process.kill()

    def end() -> None:
        connector.restart()
        connector.most = 512

    return end


def _topic_truncated(run: Run, planned: Planned) -> End:
    """Records that were acknowledged are gone from the end of a partition."""
    broker = run.world.broker
    at = run.chance.choice(sorted(at for at in broker.partitions if at.topic == "atlas.entity_attributes"))
    broker.partitions[at].lose_tail(min(len(broker.partitions[at].records), run.chance.randint(1, 20)))
    return lambda: None


def _slot_recreated(run: Run, planned: Planned) -> End:
    connector = run.world.connector
    connector.process.kill()

    def end() -> None:
        connector.recreate_slot(run.world.cluster.resolve("primary"))
        connector.restart()

    return end


def _cancel_waits(run: Run, planned: Planned) -> End:
    run.world.cluster.resolve("primary").give_up_waiting()
    return lambda: None


KINDS: dict[str, Kind] = {
    "pause": _pause,
    "kill": _kill,
    "stop": _stop,
    "cut": _cut,
    "one-way": _one_way,
    "slow-link": _slow,
    "suspend": _suspend,
    "wall-step": _step_wall,
    "replay-paused": _replay_paused,
    "replay-slow": _replay_slow,
    "slow-queries": _slow_queries,
    "partition-stalled": _partition_stalled,
    "slow-fsync": _slow_fsync,
    "standby-crash": _crash_standby,
    "primary-crash": _crash_primary,
    "promotion": _promote,
    "clickhouse-restart": _restart_clickhouse,
    "partial-insert": _partial_insert,
    "settings-changed": _settings_changed,
    "connector-restart": _restart_connector,
    "connector-slow": _slow_connector,
    "events-doubled": _doubled,
    "kafka-killed": _kafka_killed,
    "sync-wait-cancelled": _cancel_waits,
    "event-dropped": _event_dropped,
    "transaction-dropped": _transaction_dropped,
    "poisoned": _poisoned,
    "tail-dropped": _tail_dropped,
    "topic-truncated": _topic_truncated,
    "slot-recreated": _slot_recreated,
}
# Losses between PostgreSQL and the sink, which only the audit of the ledger can notice.
OF_THE_LEDGER = frozenset(
    {"event-dropped", "transaction-dropped", "poisoned", "tail-dropped", "topic-truncated", "slot-recreated"}
)
_WEIGHTS = {"pause": 4.0, "kill": 4.0, "cut": 4.0, "slow-link": 3.0, "one-way": 2.0, "promotion": 1.5, "stop": 1.0}
# Kinds that take a server away: one of them at a time.
_OF_SERVERS = frozenset({"standby-crash", "primary-crash", "promotion", "clickhouse-restart", "kafka-killed"})


def targets_of(kind: str) -> tuple[str, ...]:
    if kind == "pause":
        return ALL
    if kind in ("kill", "stop"):
        return tuple(SERVICES)
    if kind in ("cut", "one-way", "slow-link"):
        return tuple("|".join(link) for link in LINKS)
    if kind in ("suspend", "wall-step"):
        return ("query-router", "lag-monitor")
    return ("",)


def schedule(chance: random.Random, span: float, count: int, allowed: frozenset[str]) -> list[Planned]:
    """Return faults of a run in the order of their beginning; most overlap with another."""
    kinds = [kind for kind in KINDS if kind in allowed]
    weights = [_WEIGHTS.get(kind, 1.0) for kind in kinds]
    planned: list[Planned] = []
    while len(planned) < count:
        kind = chance.choices(kinds, weights)[0]
        if kind in _OF_SERVERS and any(one.kind in _OF_SERVERS for one in planned):
            continue
        begin = chance.uniform(0.3, span * 0.75)
        length = chance.choice((0.2, 0.6, 1.5, 3.0)) * chance.uniform(0.5, 1.2)
        planned.append(Planned(kind, chance.choice(targets_of(kind)), begin, min(length, span - begin)))
    return sorted(planned, key=lambda one: (one.begin, one.kind, one.target))
