"""A gRPC server that tells its health, describes itself, asks for deadlines, and stops without losing a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from opentelemetry.metrics import Meter
from opentelemetry.trace import NoOpTracer, Tracer

from atlaskit.config import IdentityMode
from atlaskit.errors import ConfigurationWrong
from atlaskit.rpc.interceptor import CallInterceptor
from atlaskit.telemetry.metrics import NO_METER

# A batch of 8 MiB, and what stands around it. One more byte is RESOURCE_EXHAUSTED, answered by gRPC itself.
MAX_REQUEST_BYTES = 8 * 1024 * 1024 + 64 * 1024
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server that gets half of the calls
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients ping every 30 s
)

# What orchestrators ask for by name. `liveness` holds while the process can answer, also while it drains; `readiness`
# ends when the drain begins, as do "" and the names of the services.
LIVENESS, READINESS = "liveness", "readiness"

ENDLESS_GRACE = timedelta(seconds=1)  # for the status of an endless call to reach its caller

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the contract and how it is added to a server."""

    name: str
    add: Callable[[aio.Server], Any]

    @classmethod
    def of(cls, descriptor: ServiceDescriptor, adder: Callable[[T, aio.Server], Any], servicer: T) -> Service:
        """Return the service of a descriptor, the generated function that adds it, and its servicer."""
        return cls(descriptor.full_name, lambda server: adder(servicer, server))


@asynccontextmanager
async def serving(
    services: Sequence[Service],
    address: str,
    *,
    drain: timedelta = timedelta(seconds=20),
    probe_period: timedelta = timedelta(0),
    tracer: Tracer | None = None,
    meter: Meter = NO_METER,
    draining: asyncio.Event | None = None,
    identity: IdentityMode = IdentityMode.OPTIONAL,
) -> AsyncIterator[int]:
    """Yield the port that the services are served on, once they are; `address` is `host:port`, port 0 takes a free one.

    Health is that of this process alone: no shared store makes it not ready. On exit, in this order: not ready (health
    of every name but `liveness`), a pause of `probe_period`, `draining` is set, endless calls end, no new calls,
    running calls get `drain` to end and are then aborted. Cancelled while it drains, it aborts them at once. Raises
    ConfigurationWrong if it cannot listen.
    """
    interceptor = CallInterceptor(tracer or NoOpTracer(), identity, meter)
    server = aio.server(interceptors=[interceptor], options=OPTIONS)
    health = health_aio.HealthServicer()
    for service in services:
        service.add(server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = [service.name for service in services]
    reflection.enable_server_reflection([*names, "grpc.health.v1.Health", reflection.SERVICE_NAME], server)
    port = _listen(server, address)
    await server.start()
    for name in (*names, LIVENESS, READINESS):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        try:
            for name in ("", *names, READINESS):
                await health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
            await asyncio.sleep(probe_period.total_seconds())  # balancers look away
            if draining is not None:
                draining.set()
            interceptor.end_endless()
            await _stopped(server, interceptor, drain)
        finally:
            await server.stop(None)


async def _stopped(server: aio.Server, interceptor: CallInterceptor, drain: timedelta) -> None:
    # An endless call whose caller does not read hangs in a write that nothing interrupts: it is aborted, once it is
    # alone, and does not hold the drain.
    async with asyncio.TaskGroup() as group:
        drained = group.create_task(server.stop(drain.total_seconds()), name="drain")
        quiet = group.create_task(interceptor.quiet(), name="quiet")
        await asyncio.wait([drained, quiet], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([drained], timeout=ENDLESS_GRACE.total_seconds())
        quiet.cancel()
        await server.stop(None)


def _listen(server: aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        raise ConfigurationWrong(
            f"address: cannot listen on {address}; is the port taken, or the host not of this machine?"
        ) from None
