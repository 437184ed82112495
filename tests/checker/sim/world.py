"""Everything of one deployment: stores, connector, services, and the links between them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from atlas_olap_sink.app import STATES_TOPIC
from atlaskit.cdc.topics import CAPTURED
from atlaskit.kafka.epochs import TOPIC as EPOCHS
from atlaskit.model import EntityIdentity
from checker.sim.clickhouse import Engine
from checker.sim.connector import Connector
from checker.sim.kafka import Broker
from checker.sim.loop import Scheduler
from checker.sim.network import World
from checker.sim.pg.cluster import Cluster
from checker.sim.pg.server import Server
from checker.sim.pg.statements import PgStatements
from checker.sim.process import Process
from checker.sim.services import SERVICES, Knobs, start

SECOND_MONITOR = "lag-monitor-2"
SPREADS = {1: 1, 2: 2, 3: 10}  # tenant -> shards


class SimWorld(World):
    """A primary `pg-a`, its standby `pg-b`, Kafka, the connector, ClickHouse and the four services."""

    def __init__(self, seed: int, knobs: Knobs) -> None:
        chance = random.Random(seed)
        super().__init__(Scheduler(), chance)
        self.knobs = knobs
        self.statements = PgStatements()
        self.cluster = Cluster(self)
        self.processes: dict[str, Process] = {}
        for name in ("pg-a", "pg-b", "kafka", "connect", "clickhouse", *SERVICES, "clients"):
            self.processes[name] = Process(self, name)
        self.primary = self.cluster.add(self.processes["pg-a"], standby=False)
        self.standby = self.cluster.add(self.processes["pg-b"], standby=True)
        self.cluster.names = {"primary": "pg-a", "replica": "pg-b"}
        self.stale_names: dict[tuple[str, str], str] = {}  # what one process still believes a name to lead to
        self.broker = Broker(self.processes["kafka"], chance)
        for topic in CAPTURED:
            self.broker.create(topic.name, topic.partitions)
        self.broker.create(EPOCHS, 1)
        self.broker.create(STATES_TOPIC, 1, compacted=True)
        self.engine = Engine(self.processes["clickhouse"])
        self.connector = Connector(self, self.processes["connect"], self.broker)
        self._asked: dict[int, Callable[[], object]] = {}
        for name in SERVICES:
            self.equip(self.processes[name])

    def resolve(self, process: Process, name: str) -> Server:
        held = self.stale_names.get((process.name, name))
        return self.cluster.servers[held] if held is not None else self.cluster.resolve(name)

    def register_tenants(self) -> None:
        """Put the tenants where CreateTenant would."""
        for tenant, spread in SPREADS.items():
            self.cluster.timelines[0].store.tenants[tenant] = {
                "tenant_id": tenant,
                "name": f"tenant {tenant}",
                "identity": EntityIdentity.NUMBERED.value,
                "spread": spread,
                "key_quota": 1000,
                "entity_hash_key": bytes(16),
                "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            }

    def begin(self) -> None:
        """Register the tenants and start everything."""
        self.register_tenants()
        self.standby.process.run(self.standby.follow(self.primary), "walreceiver")
        self.processes["connect"].run(self.connector.run(), "connector")
        for name in SERVICES:
            self.start(name)

    def start(self, name: str) -> None:
        start(name, self.processes[name], self.knobs)

    def start_second_monitor(self) -> None:
        """Another lag monitor beside the first, as a deployment has it; the router goes on following the first."""
        process = self.processes[SECOND_MONITOR] = Process(self, SECOND_MONITOR)
        self.equip(process)
        start("lag-monitor", process, self.knobs)

    def restart(self, name: str) -> None:
        """Begin a new life of a service that was killed."""
        process = self.processes[name]
        process.kill()
        process.restart()
        self.equip(process)
        self.start(name)

    # -- calls of ClickHouse, which the services make on threads

    def equip(self, process: Process) -> None:
        """Let calls on threads of this process be calls of ClickHouse."""
        loop = process.loop

        def call(function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
            return self._on_thread(process, function, args)

        loop.executor = call

    def _on_thread(self, process: Process, function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = process.loop.create_future()
        server, engine = self.processes["clickhouse"], self.engine
        number = self.number()

        def settle(result: Any, error: BaseException | None) -> None:
            self._asked.pop(number, None)
            if not done.done():
                if error is None:
                    done.set_result(result)
                else:
                    done.set_exception(error)

        def refuse() -> None:
            engine.refusing = True
            try:
                settle(*_outcome(function, args))
            finally:
                engine.refusing = False

        def serve() -> None:
            result, error = _outcome(function, args)
            took = self.chance.uniform(0.001, 0.004) + engine.slow_query
            self.send(server, process, settle, result, error, extra=took)

        if not server.alive:
            process.loop.call_later(0.001, refuse)
            return done
        self._asked[number] = partial(process.loop.call_later, 0.001, refuse)
        self.send(process, server, serve)
        return done

    def crash_clickhouse(self) -> None:
        """Kill the server: who waits for it is told, and what it holds in memory is gone."""
        self.processes["clickhouse"].kill()
        asked, self._asked = list(self._asked.values()), {}
        for tell in asked:
            tell()


def _outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    try:
        return function(*args), None
    except Exception as error:  # noqa: BLE001
        return None, error
