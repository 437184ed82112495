"""Kafka Connect of the embedded stack, with the Debezium connector in its plugin path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
from atlaskit.kafka.connector import CONNECTOR

from atlas_local.errors import PartFailed
from atlas_local.jars import JarSet
from atlas_local.java_runtime import java, properties
from atlas_local.ports import HOST
from atlas_local.process import ChildProcess
from atlas_local.transactions import end_transaction

GROUP = "atlas-connect"
_SECONDS = 90.0
_NOT_YET = frozenset({404, 409, 503})  # resources not registered yet, or a rebalance
_POLL = 0.1  # seconds between two looks at a connector's state


def worker_settings(bootstrap: str, port: int, plugins: Path) -> dict[str, str]:
    """Return the settings of the one worker: exactly-once sources, JSON without schemas."""
    return {
        "bootstrap.servers": bootstrap,
        "group.id": GROUP,
        "listeners": f"http://{HOST}:{port}",
        "rest.advertised.host.name": HOST,
        "rest.advertised.port": str(port),
        "plugin.path": str(plugins),
        # Every plugin used here is listed by its jar; looking into all classes instead takes three seconds.
        "plugin.discovery": "service_load",
        "exactly.once.source.support": "enabled",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "config.storage.topic": "atlas.connect.configs",
        "config.storage.replication.factor": "1",
        "offset.storage.topic": "atlas.connect.offsets",
        "offset.storage.replication.factor": "1",
        "offset.storage.partitions": "1",
        "status.storage.topic": "atlas.connect.status",
        "status.storage.replication.factor": "1",
        "status.storage.partitions": "1",
        "offset.flush.interval.ms": "1000",
        "scheduled.rebalance.max.delay.ms": "0",  # one worker: nobody else's return is worth waiting for
        "session.timeout.ms": "6000",  # how long a worker killed with -9 keeps its successor from starting
        "heartbeat.interval.ms": "1500",
    }


class Connect(ChildProcess):
    """The worker, with the few calls of its REST interface that the stack needs."""

    def __init__(self, jars: JarSet, data: Path, log: Path, bootstrap: str, port: int) -> None:
        self.port = port
        self._bootstrap = bootstrap
        self._settings = data / "connect.properties"
        self._values = worker_settings(bootstrap, port, jars.plugins)
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        command = java(jars.class_path("kafka", "connect"), main, str(self._settings), heap="512m")
        super().__init__("connect", command, log, self._answers, _SECONDS)

    @property
    def url(self) -> str:
        """Base of the REST interface."""
        return f"http://{HOST}:{self.port}"

    async def start(self) -> None:
        """Start the worker; it has caught up with its topics and joined its group when this returns."""
        if self.running:
            return
        self._settings.parent.mkdir(parents=True, exist_ok=True)
        self._settings.write_text(properties(self._values), "utf-8")
        # A worker killed in mid-transaction leaves it open. The next one reads its offsets to the end, committed only,
        # and would wait for the transaction's timeout: a minute. There is one worker, and it is dead.
        await end_transaction(self._bootstrap, f"{GROUP}-{CONNECTOR}-0")
        await super().start()

    async def register(self, name: str, settings: Mapping[str, str], seconds: float = 60.0) -> None:
        """Create the connector or change it to these settings, and return when it and its tasks run.

        Raises PartFailed with what Connect or the task said, at the latest after `seconds`."""
        said = "nothing"
        try:
            async with asyncio.timeout(seconds), httpx.AsyncClient(base_url=self.url, timeout=10.0) as client:
                said = await self._put(client, name, settings)
                while True:
                    said = await self._state(client, name)
                    if said == "RUNNING":
                        return
                    await asyncio.sleep(_POLL)
        except (TimeoutError, httpx.HTTPError) as error:
            reason = f"did not run connector {name} within {seconds:g} s ({error!r}, last state: {said})"
            raise self._said(reason) from error

    async def _put(self, client: httpx.AsyncClient, name: str, settings: Mapping[str, str]) -> str:
        """Return when Connect took the settings; a rebalance (409) is waited for."""
        while True:  # the caller's timeout ends it
            answer = await client.put(f"/connectors/{name}/config", json=dict(settings))
            if answer.is_success:
                return f"accepted with {answer.status_code}"
            if answer.status_code not in _NOT_YET:
                raise self._said(f"refused connector {name}: {answer.text[:1000]}")
            await asyncio.sleep(_POLL)

    async def _state(self, client: httpx.AsyncClient, name: str) -> str:
        answer = await client.get(f"/connectors/{name}/status")
        if answer.is_error:
            return f"status {answer.status_code}"
        body = answer.json()
        parts = [body["connector"], *body["tasks"]]
        for part in parts:
            if part["state"] == "FAILED":
                raise self._said(f"failed connector {name}: {part.get('trace', '')[:1500]}")
        running = body["tasks"] and all(part["state"] == "RUNNING" for part in parts)
        return "RUNNING" if running else str(answer.text)

    def _said(self, reason: str) -> PartFailed:
        return PartFailed(self.name, reason, self.log, self.log_tail())

    async def _answers(self) -> bool:
        try:
            async with httpx.AsyncClient(base_url=self.url, timeout=5.0) as client:
                return (await client.get("/health")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
