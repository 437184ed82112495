"""The real services as processes: each is what its `app.running` opens, with a fake in place of the server's socket."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from atlas_ingest import app as ingest_app
from atlas_ingest.settings import Settings as IngestSettings
from atlas_lag_monitor import app as monitor_app
from atlas_lag_monitor.settings import Settings as MonitorSettings
from atlas_olap_sink import app as sink_app
from atlas_olap_sink.settings import Settings as SinkSettings
from atlas_query_router import app as router_app
from atlas_query_router.settings import Settings as RouterSettings
from atlaskit.freshness.reading import PrimaryMode
from checker.sim.loop import SimulationError
from checker.sim.process import Process, current
from opentelemetry.trace import INVALID_SPAN, NoOpTracer

CLICKHOUSE = "http://clickhouse:8123/atlas"
KAFKA = "kafka:9092"


@dataclass(frozen=True)
class Knobs:
    """What differs between runs."""

    mode: PrimaryMode = PrimaryMode.SINGLE
    fence_interval: timedelta = timedelta(milliseconds=20)
    beat_interval: timedelta = timedelta(milliseconds=100)
    primary_beat_interval: timedelta = timedelta(milliseconds=25)
    beat_timeout: timedelta = timedelta(seconds=5)
    lag_interval: timedelta = timedelta(milliseconds=40)
    poll_interval: timedelta = timedelta(milliseconds=75)
    olap_poll_interval: timedelta = timedelta(milliseconds=300)
    markers: int = 64  # fences and beats in a reading; fewer make claims older, never false
    writers: int = 3
    copy_way: str = "direct"
    router: dict[str, Any] = field(default_factory=dict)
    sink: dict[str, Any] = field(default_factory=dict)


def _monitor(knobs: Knobs) -> AbstractAsyncContextManager[Any]:
    settings = MonitorSettings(
        postgres_dsn="primary",
        replica_dsn="replica",
        clickhouse_url=CLICKHOUSE,
        kafka_bootstrap=KAFKA,
        primary_mode=knobs.mode,
        fence_interval=knobs.fence_interval,
        beat_interval=knobs.beat_interval,
        primary_beat_interval=knobs.primary_beat_interval,
        beat_timeout=knobs.beat_timeout,
        poll_interval=knobs.poll_interval,
        olap_poll_interval=knobs.olap_poll_interval,
    )
    return monitor_app.running(settings)


def _ingest(knobs: Knobs) -> AbstractAsyncContextManager[Any]:
    values: dict[str, Any] = {"primary_mode": knobs.mode.value, "copy_way": knobs.copy_way, "writers": knobs.writers}
    settings = IngestSettings.model_validate({"postgres_dsn": "primary", "query_router": "query-router:1", **values})
    return ingest_app.running(settings)


def _router(knobs: Knobs) -> AbstractAsyncContextManager[Any]:
    values: dict[str, Any] = {
        "postgres_dsn": "primary",
        "replica_dsn": "replica",
        "clickhouse_url": CLICKHOUSE,
        "lag_monitor": "lag-monitor:1",
        "lag_interval": knobs.lag_interval,
        "page_token_key": "seal",
        **knobs.router,
    }
    return router_app.running(RouterSettings.model_validate(values))


def _sink(knobs: Knobs) -> AbstractAsyncContextManager[Any]:
    values = {"postgres_dsn": "primary", "clickhouse_url": CLICKHOUSE, "kafka_bootstrap": KAFKA, **knobs.sink}
    return sink_app.running(SinkSettings.model_validate(values))


SERVICES: dict[str, Callable[[Knobs], AbstractAsyncContextManager[Any]]] = {
    "lag-monitor": _monitor,
    "ingest": _ingest,
    "query-router": _router,
    "olap-sink": _sink,
}


def start(name: str, process: Process, knobs: Knobs) -> None:
    """Begin a life of a service."""
    process.service = None
    process.run(_life(name, process, knobs), name)


async def _life(name: str, process: Process, knobs: Knobs) -> None:
    """One life of a service. It ends when it was asked to; any other end is a fault of the service."""
    stop = process.stop = asyncio.Event()
    try:
        async with SERVICES[name](knobs):
            await stop.wait()
    except Exception as error:
        raise SimulationError(f"{name} ended: {''.join(traceback.format_exception(error))}") from error
    process.ended = True


@asynccontextmanager
async def serving(services: Sequence[Any], address: str, **_: Any) -> AsyncIterator[int]:
    """In the place of the server: the methods can be called while the block runs."""
    process, server = current(), _Registrar()
    for service in services:
        service.add(server)
    process.service = server.methods
    try:
        yield 1
    finally:
        process.service = None


class _Registrar:
    """Takes the handlers that a service adds to its server."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}

    def add_registered_method_handlers(self, _: str, handlers: dict[str, Any]) -> None:
        for name, handler in handlers.items():
            self.methods[name] = handler.unary_unary or handler.stream_stream

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        for generic in handlers:
            for path, handler in generic._method_handlers.items():
                self.methods[path.rsplit("/", 1)[1]] = handler.unary_unary or handler.stream_stream


async def send_freshness(*_: Any) -> None:
    """In the place of the certificate as metadata: the clients here read the message."""


@asynccontextmanager
async def open_tracing(*_: Any) -> AsyncIterator[NoOpTracer]:
    """In the place of the exporter of spans."""
    yield _NoSpans()


class _NoSpans(NoOpTracer):
    """Spans that are not even made current: nobody looks at them here."""

    def start_as_current_span(self, *_: Any, **__: Any) -> Any:
        return nullcontext(INVALID_SPAN)
