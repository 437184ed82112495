"""Kafka of the embedded stack: one KRaft node that is broker and controller."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Sequence
from pathlib import Path

from atlas_local import oneshot
from atlas_local.faults.links import Listener
from atlas_local.jars import JarSet
from atlas_local.java_runtime import java, properties
from atlas_local.ports import HOST
from atlas_local.process import ChildProcess

_SECONDS = 60.0


def broker_settings(data: Path, port: int, controller_port: int, callers: Sequence[Listener] = ()) -> dict[str, str]:
    """Return the settings of the node: replication 1, topics made by us only, a disk that cannot fill without limit.

    Each of `callers` has a listener of its own, which tells its clients to come by another port."""
    bound = [f"{caller.name}://{HOST}:{caller.bound}" for caller in callers]
    told = [f"{caller.name}://{HOST}:{caller.told}" for caller in callers]
    plain = ["CONTROLLER", "PLAINTEXT", *(caller.name for caller in callers)]
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": ",".join([f"PLAINTEXT://{HOST}:{port}", f"CONTROLLER://{HOST}:{controller_port}", *bound]),
        "advertised.listeners": ",".join([f"PLAINTEXT://{HOST}:{port}", *told]),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in plain),
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "log.segment.bytes": str(128 << 20),
        "log.retention.bytes": str(2 << 30),  # a partition
        "log.retention.hours": "72",
        "message.max.bytes": str(8 << 20),
        # Kept from the start, and 128 MiB unless told: two fifths of the heap. Few keys are ever compacted here.
        "log.cleaner.dedupe.buffer.size": str(8 << 20),
    }


class Kafka(ChildProcess):
    """The broker; its data survives kill and restart."""

    def __init__(
        self, jars: JarSet, data: Path, log: Path, port: int, controller_port: int, *, callers: Sequence[Listener]
    ) -> None:
        self._jars = jars
        self.data = data
        self.port = port
        self._settings = data.parent / f"{data.name}.properties"
        self._values = broker_settings(data, port, controller_port, callers)
        command = java(jars.class_path("kafka"), "kafka.Kafka", str(self._settings), heap="320m")
        super().__init__("kafka", command, log, self._listens, _SECONDS)

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return f"{HOST}:{self.port}"

    async def start(self) -> None:
        """Start the broker; its storage is formatted if there is none."""
        self._settings.write_text(properties(self._values), "utf-8")
        if not (self.data / "meta.properties").exists():
            self.data.mkdir(parents=True, exist_ok=True)
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            arguments = ["format", f"--cluster-id={cluster}", "--config", str(self._settings)]
            tool = java(self._jars.class_path("kafka"), "kafka.tools.StorageTool", *arguments, heap="64m", quick=True)
            await oneshot.run("kafka storage tool", tool, self.log)
        await super().start()

    async def _listens(self) -> bool:
        # The broker opens its port only when it has caught up with the controller and can serve.
        _, writer = await asyncio.open_connection(HOST, self.port)
        writer.close()
        return True
