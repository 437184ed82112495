"""Metrics: instruments of OpenTelemetry by the names of `measures`, and the page on which Prometheus reads them.

Nothing is measured, and nothing listens, unless the settings say where. Counters are plain integers that are read when
Prometheus asks: a path on which every microsecond counts pays a tenth of what an instrument costs.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final, TypeAlias

import structlog
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, NoOpMeter, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from atlaskit.config import ServiceSettings
from atlaskit.errors import ConfigurationWrong
from atlaskit.telemetry.measures import Metric

MOST_SERIES: Final = 500  # sets of label values of one counter; what comes beyond is counted together
BEYOND: Final = "other"
REQUEST_LIMIT: Final = timedelta(seconds=5)  # for a request to arrive, and for its answer to be taken
MOST_CONNECTIONS: Final = 8  # one more is closed at once
MOST_HEAD: Final = 8 * 1024  # bytes of a request

# Label values in the order of the metric's labels, with the figure. What is unknown is left out.
Figures: TypeAlias = Mapping[tuple[str, ...], float]
NO_METER: Final = NoOpMeter("atlas")

log = structlog.get_logger(__name__)


class Tally:
    """A counter. Counts in plain integers, at most `MOST_SERIES` sets of label values."""

    def __init__(self, meter: Meter, metric: Metric) -> None:
        self._counts: dict[tuple[str, ...], int] = {}
        self._beyond = (BEYOND,) * len(metric.labels)
        if not metric.labels:
            self._counts[()] = 0  # a counter without labels begins with 0, so that its first step is seen
        counter(meter, metric, lambda: self._counts)

    def add(self, count: int, *labels: str) -> None:
        """Count so many more under these label values."""
        counts = self._counts
        if labels not in counts and len(counts) >= MOST_SERIES:
            labels = self._beyond
        counts[labels] = counts.get(labels, 0) + count

    def begin(self, *labels: str) -> None:
        """Show these label values with 0 until something is counted."""
        self._counts.setdefault(labels, 0)


def counter(meter: Meter, metric: Metric, read: Callable[[], Figures]) -> None:
    """Export the sums that `read` returns whenever Prometheus asks, on the event loop; none may become smaller."""
    meter.create_observable_counter(
        metric.name, [_callback(metric, read)], unit=metric.unit, description=metric.meaning
    )


def gauge(meter: Meter, metric: Metric, read: Callable[[], Figures]) -> None:
    """Export what `read` returns whenever Prometheus asks, on the event loop; figures that it leaves out are absent."""
    meter.create_observable_gauge(metric.name, [_callback(metric, read)], unit=metric.unit, description=metric.meaning)


def histogram(meter: Meter, metric: Metric) -> Histogram:
    """Return the instrument of a histogram; its attributes are the metric's labels."""
    return meter.create_histogram(
        metric.name,
        unit=metric.unit,
        description=metric.meaning,
        explicit_bucket_boundaries_advisory=list(metric.bounds),
    )


def _callback(metric: Metric, read: Callable[[], Figures]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(figure, dict(zip(metric.labels, labels, strict=True))) for labels, figure in read().items()]

    return observe


@asynccontextmanager
async def open_metrics(service: str, settings: ServiceSettings) -> AsyncIterator[Meter]:
    """Yield the meter of a service; with `metrics_address` its metrics are served as `/metrics` until the block ends.

    Raises ConfigurationWrong if it cannot listen there.
    """
    if settings.metrics_address is None:
        yield NO_METER
        return
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    provider = MeterProvider(
        [reader],
        resource=Resource({"service.name": service}),
        exemplar_filter=AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
    )
    try:
        async with _serving(_Page(registry), settings.metrics_address):
            yield provider.get_meter("atlas")
    finally:
        provider.shutdown()


@asynccontextmanager
async def _serving(page: _Page, address: str) -> AsyncIterator[None]:
    host, _, port = address.rpartition(":")
    try:
        listener = socket.create_server((host, int(port)))
    except OSError as error:
        raise ConfigurationWrong(f"ATLAS_METRICS_ADDRESS: cannot listen on {address}: {error.strerror}") from error
    server = await asyncio.start_server(page.answer, sock=listener, limit=MOST_HEAD)
    bound = listener.getsockname()[1]
    log.info("metrics", url=f"http://{host}:{bound}/metrics")
    try:
        yield
    finally:
        server.close()
        page.close()


class _Page:
    """Answers `GET /metrics`, one request a connection; at most `MOST_CONNECTIONS` at a time."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._open: set[asyncio.StreamWriter] = set()

    def close(self) -> None:
        """Cut off whoever still asks."""
        for writer in self._open:
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection and close it. Raises nothing for what the other end does."""
        if len(self._open) >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(REQUEST_LIMIT.total_seconds()):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._response(head))
                    writer.write_eof()
                    await writer.drain()
        finally:
            self._open.discard(writer)
            writer.close()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _http(404, "Not Found", b"ask for /metrics\n", "text/plain; charset=utf-8")
        if method != b"GET":
            return _http(405, "Method Not Allowed", b"GET only\n", "text/plain; charset=utf-8")
        return _http(200, "OK", generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)


def _http(status: int, phrase: str, body: bytes, kind: str) -> bytes:
    about = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"HTTP/1.1 {status} {phrase}\r\n{about}\r\n\r\n".encode() + body
