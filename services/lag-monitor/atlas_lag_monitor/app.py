"""Everything that a lag monitor opens, in order; closing is the reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from atlas.lag.v1 import lag_service_pb2, lag_service_pb2_grpc
from atlaskit.clickhouse.pool import open_clickhouse
from atlaskit.clock import SystemClock
from atlaskit.model import Source
from atlaskit.rpc.server import Service, serving
from atlaskit.telemetry.metrics import open_metrics
from atlaskit.telemetry.tracing import open_tracing

from atlas_lag_monitor.metrics import board_gauges
from atlas_lag_monitor.monitor import monitoring
from atlas_lag_monitor.servicer import LagServicer
from atlas_lag_monitor.settings import Settings


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """Yield the port that LagService is served on. It is ready whatever stores are down: the board says which."""
    async with (
        open_tracing("lag-monitor", settings) as tracer,
        open_metrics("lag-monitor", settings) as meter,
        open_clickhouse(
            settings.clickhouse_url, connections=2, waiting=8, call_limit=settings.epoch_timeout
        ) as clickhouse,
        monitoring(settings, clickhouse, SystemClock()) as board,
    ):
        replica = [] if settings.replica_dsn is None else [Source.REPLICA]
        board_gauges(meter, board, [Source.PRIMARY, *replica, Source.OLAP])
        servicer = LagServicer(board, settings.watchers)
        descriptor = lag_service_pb2.DESCRIPTOR.services_by_name["LagService"]
        service = Service.of(descriptor, lag_service_pb2_grpc.add_LagServiceServicer_to_server, servicer)
        async with serving(
            [service],
            settings.address,
            drain=settings.drain,
            probe_period=settings.probe_period,
            tracer=tracer,
            meter=meter,
        ) as port:
            yield port
