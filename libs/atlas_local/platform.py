"""The services of Atlas as processes over a running embedded stack."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2

from atlas_local import oneshot
from atlas_local.faults.links import led_round
from atlas_local.ports import HOST
from atlas_local.process import ChildProcess, Command

SERVICES = ("lag-monitor", "ingest", "olap-sink", "query-router", "gateway")
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the services find the stores. A DSN is keyed by the role's name: `atlas_ingest` and so on."""

    primary: Mapping[str, str]
    replica: Mapping[str, str]
    kafka_bootstrap: str
    clickhouse_url: str


@dataclass(frozen=True, slots=True)
class Platform:
    """Running services: each can be stopped, killed, paused and started again, and keeps its address."""

    services: Mapping[str, ChildProcess]
    addresses: Mapping[str, str]
    trace_directory: Path
    metrics: Mapping[str, str]  # where each service's metrics are served, by service; empty: nowhere

    @property
    def gateway_url(self) -> str:
        """Where the HTTP API answers."""
        return f"http://{self.addresses['gateway']}"

    def trace_files(self) -> list[Path]:
        """Return the files of JSON lines that the services write their spans to."""
        return sorted(self.trace_directory.glob("*.jsonl"))


def environments(
    stores: Stores, addresses: Mapping[str, str], traces: Path, sample_ratio: float, metrics: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return the settings of each service as environment variables; a service without metrics is not in `metrics`."""
    special = {
        "ingest": {"POSTGRES_DSN": stores.primary["atlas_ingest"], "QUERY_ROUTER": addresses["query-router"]},
        "lag-monitor": {
            "POSTGRES_DSN": stores.primary["atlas_monitor"],
            "REPLICA_DSN": stores.replica["atlas_monitor"],
            "CLICKHOUSE_URL": stores.clickhouse_url,
            "KAFKA_BOOTSTRAP": stores.kafka_bootstrap,
            "PRIMARY_MODE": "single",
        },
        "olap-sink": {
            "POSTGRES_DSN": stores.primary["atlas_sink"],
            "CLICKHOUSE_URL": stores.clickhouse_url,
            "KAFKA_BOOTSTRAP": stores.kafka_bootstrap,
        },
        "query-router": {
            "POSTGRES_DSN": stores.primary["atlas_reader"],
            "REPLICA_DSN": stores.replica["atlas_reader"],
            "CLICKHOUSE_URL": stores.clickhouse_url,
            "LAG_MONITOR": addresses["lag-monitor"],
        },
        "gateway": {"QUERY_TARGET": addresses["query-router"]},
    }
    common = {"TRACE_SAMPLE_RATIO": str(sample_ratio), "DRAIN": "10s"}
    return {
        name: {
            f"ATLAS_{key}": text
            for key, text in {
                **common,
                "ADDRESS": addresses[name],
                "METRICS_ADDRESS": metrics.get(name, ""),
                "TRACE_FILE": str(traces / f"{name}.jsonl"),
                **special[name],
            }.items()
        }
        for name in SERVICES
    }


async def run_keeper(stores: Stores, logs: Path) -> str:
    """Create partitions ahead, once, and return what the job printed. Raises PartFailed if it fails."""
    command = Command([sys.executable, "-m", "atlas_keeper"], {"ATLAS_POSTGRES_DSN": stores.primary["atlas_keeper"]})
    return await oneshot.run("keeper", command, logs / "keeper.log")


@asynccontextmanager
async def running_platform(
    stores: Stores,
    ports: Mapping[str, int],
    directory: Path,
    *,
    sample_ratio: float = 0.01,
    metrics_ports: Mapping[str, int] | None = None,
    detours: Mapping[str, Mapping[int, int]] | None = None,
    programs: Mapping[str, Sequence[str]] | None = None,
) -> AsyncIterator[Platform]:
    """Start every service and yield once all are ready; on exit they drain, callers before what they call.

    `ports` has one for each of SERVICES, `metrics_ports` one for each whose metrics are served; logs and traces lie
    below `directory`. `detours` has by service the port that it goes to instead of one in its settings, `programs` what
    Python is given instead of `-m` and its module. Raises PartFailed naming the service that did not start; nothing is
    left behind then.
    """
    traces, logs = directory / "traces", directory / "logs"
    traces.mkdir(parents=True, exist_ok=True)
    addresses = {name: f"{HOST}:{ports[name]}" for name in SERVICES}
    metrics = {name: f"{HOST}:{port}" for name, port in (metrics_ports or {}).items()}
    settings = environments(stores, addresses, traces, sample_ratio, metrics)
    async with AsyncExitStack() as stack:
        services = {
            name: _service(
                name,
                (programs or {}).get(name, ("-m", f"atlas_{name.replace('-', '_')}")),
                led_round(settings[name], (detours or {}).get(name, {})),
                addresses[name],
                logs,
            )
            for name in SERVICES
        }
        for service in services.values():
            stack.push_async_callback(service.stop)
        try:
            async with asyncio.TaskGroup() as group:
                for service in services.values():
                    group.create_task(service.start(), name=f"start-{service.name}")
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        yield Platform(services, addresses, traces, {name: f"http://{at}/metrics" for name, at in metrics.items()})


def _service(
    name: str, program: Sequence[str], environment: Mapping[str, str], address: str, logs: Path
) -> ChildProcess:
    command = Command([sys.executable, *program], environment)

    async def ready() -> bool:
        return await (_http_ready(address) if name == "gateway" else grpc_ready(address))

    return ChildProcess(name, command, logs / f"{name}.log", ready, _START_SECONDS)


async def grpc_ready(address: str) -> bool:
    """Tell whether the service at this address says that it serves."""
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _http_ready(address: str) -> bool:
    async with httpx.AsyncClient(timeout=1.0) as client:
        try:
            return (await client.get(f"http://{address}/readyz")).is_success
        except httpx.HTTPError:
            return False
