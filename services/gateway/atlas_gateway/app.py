"""Everything that a gateway opens, in order; closing is the reverse."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import uvicorn
from atlaskit.errors import ConfigurationWrong
from atlaskit.rpc.client import open_channel
from atlaskit.telemetry.metrics import open_metrics
from atlaskit.telemetry.tracing import open_tracing
from starlette.types import ASGIApp

from atlas_gateway.api import Load, build_app
from atlas_gateway.metrics import measured
from atlas_gateway.router import QueryRouter
from atlas_gateway.settings import Settings


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """Yield the port that HTTP is served on. Leaving it drains: not ready, a pause, nothing new, what runs ends."""
    load = Load(settings.requests_in_flight)
    async with (
        open_tracing("gateway", settings) as tracer,
        open_metrics("gateway", settings) as meter,
        open_channel(settings.query_target) as channel,
    ):
        app = measured(build_app(QueryRouter(channel), settings, load, tracer), meter)
        async with serving_http(app, settings.address, settings.drain) as port:
            yield port
            load.draining = True
            if settings.probe_period:
                await asyncio.sleep(settings.probe_period.total_seconds())  # balancers look away


class _Server(uvicorn.Server):
    """A server whose process handles the signals, and that tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving_http(app: ASGIApp, address: str, drain: timedelta) -> AsyncIterator[int]:
    """Yield the port that the application is served on; port 0 in `address` takes a free one.

    On exit no new connection is taken, and running requests have `drain` to end. Raises ConfigurationWrong when the
    address cannot be bound.
    """
    host, _, port = address.rpartition(":")
    try:
        listener = socket.create_server((host, int(port)), backlog=1024)
    except OSError as error:
        raise ConfigurationWrong(f"ATLAS_ADDRESS: cannot listen on {address}: {error.strerror}") from error
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=max(int(drain.total_seconds()), 1),
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]), name="http")
        try:
            await server.listening.wait()
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
