"""Where spans go: OTLP over gRPC when an endpoint is set, else a file of JSON lines, else nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer, Tracer

from atlaskit.config import ServiceSettings

FLUSH_LIMIT = timedelta(seconds=3)
EXPORT_LIMIT = timedelta(
    seconds=2
)  # one export; below `FLUSH_LIMIT`, so that an unreachable collector cannot hold a stop
EXPORT_PERIOD = timedelta(seconds=1)


@asynccontextmanager
async def open_tracing(service: str, settings: ServiceSettings) -> AsyncIterator[Tracer]:
    """Yield the tracer of a service, as its settings say where spans go.

    On exit what was recorded is exported, within `FLUSH_LIMIT`, off the event loop; what does not fit is lost, which is
    no error.
    """
    exporter = _exporter(settings.otlp_endpoint, settings.trace_file)
    if exporter is None:
        yield NoOpTracer()
        return
    provider = _provider(service, settings.trace_sample_ratio, exporter)
    try:
        yield provider.get_tracer("atlas")
    finally:
        await asyncio.shield(asyncio.to_thread(_close, provider))


@contextmanager
def traced_to_file(service: str, path: Path, sample_ratio: float = 1.0) -> Iterator[Tracer]:
    """Yield a tracer that writes to a file of JSON lines; for jobs and tools without an event loop."""
    provider = _provider(service, sample_ratio, FileSpanExporter(path))
    try:
        yield provider.get_tracer("atlas")
    finally:
        _close(provider)


def _exporter(endpoint: str | None, path: Path | None) -> SpanExporter | None:
    if endpoint is not None:
        insecure = not endpoint.startswith("https://")
        return OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=EXPORT_LIMIT.total_seconds())
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileSpanExporter(path)
    return None


def _provider(service: str, sample_ratio: float, exporter: SpanExporter) -> TracerProvider:
    # A caller that traces decides for the whole way; only traces that begin here are subject to the ratio.
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        shutdown_on_exit=False,
    )
    period = EXPORT_PERIOD.total_seconds() * 1000
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=period))
    return provider


def _close(provider: TracerProvider) -> None:
    provider.force_flush(int(FLUSH_LIMIT.total_seconds() * 1000))
    provider.shutdown()
