"""Everything the query router is made of, opened in order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from atlas.query.v1 import query_service_pb2
from atlas.query.v1.query_service_pb2_grpc import add_QueryServiceServicer_to_server
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clock import SystemClock
from atlaskit.model import Source
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.client import open_channel
from atlaskit.rpc.server import Service, serving
from atlaskit.telemetry.tracing import open_tracing
from opentelemetry.trace import Tracer

from atlas_query_router.backends import Backend
from atlas_query_router.fallback_gate import FallbackGate, Limits
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.lag_stream import follow
from atlas_query_router.olap_backend import OlapBackend
from atlas_query_router.page_token import PageTokens
from atlas_query_router.paging import Paging
from atlas_query_router.position_watch import PositionWatch
from atlas_query_router.postgres_backends import PrimaryBackend, ReplicaBackend
from atlas_query_router.router import Router
from atlas_query_router.servicer import QueryServicer
from atlas_query_router.settings import Settings
from atlas_query_router.tenants import TenantDirectory

NAME = "query-router"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """Yield the bound port of the running service. It starts also while the stores and the monitor are away.

    On exit calls are drained first, then the monitor is no longer asked, then connections close.
    """
    async with (
        open_tracing(NAME, settings) as tracer,
        _pool(settings, settings.postgres_dsn.get_secret_value(), settings.primary_connections) as primary,
        _pool(settings, settings.replica_dsn.get_secret_value(), settings.replica_connections) as replica,
        open_clickhouse(
            settings.clickhouse_url.get_secret_value(), connections=settings.clickhouse_connections
        ) as clickhouse,
        _followed(settings) as board,
    ):
        backends = _backends(board, primary, replica, clickhouse)
        tenants = TenantDirectory(Tenants(replica), Tenants(primary))
        async with (
            _watched(settings, backends) as watches,
            serving(
                [_service(settings, _router(settings, backends, board, watches, tracer), tenants)],
                settings.address,
                drain=settings.drain,
                probe_period=settings.probe_period,
                tracer=tracer,
            ) as port,
        ):
            yield port


@asynccontextmanager
async def _followed(settings: Settings) -> AsyncIterator[LagBoard]:
    board = LagBoard(SystemClock(), settings.lag_limit, settings.position_waiters)
    async with open_channel(settings.lag_monitor) as channel, asyncio.TaskGroup() as group:
        following = group.create_task(
            follow(channel, board, settings.lag_interval, settings.lag_silence), name="lag-monitor"
        )
        try:
            yield board
        finally:
            following.cancel()


def _pool(settings: Settings, dsn: str, connections: int) -> AbstractAsyncContextManager[Pool]:
    return open_pool(
        dsn, max_size=connections, application_name="atlas-query-router", statement_limit=settings.statement_limit
    )


def _backends(board: LagBoard, primary: Pool, replica: Pool, clickhouse: ClickHouse) -> dict[Source, Backend]:
    clock = SystemClock()
    return {
        Source.PRIMARY: PrimaryBackend(primary, board, clock),
        Source.REPLICA: ReplicaBackend(replica, board),
        Source.OLAP: OlapBackend(clickhouse, board, clock),
    }


@asynccontextmanager
async def _watched(settings: Settings, backends: dict[Source, Backend]) -> AsyncIterator[dict[Source, PositionWatch]]:
    intervals = {Source.OLAP: settings.olap_watch_interval}
    watches = {
        source: PositionWatch(
            backend.look,
            interval=intervals.get(source, settings.replica_watch_interval),
            limit=settings.watch_limit,
            most=settings.position_waiters,
        )
        for source, backend in backends.items()
    }
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watch.run(), name=f"watch-{source}") for source, watch in watches.items()]
        try:
            yield watches
        finally:
            for task in tasks:
                task.cancel()


def _router(
    settings: Settings,
    backends: dict[Source, Backend],
    board: LagBoard,
    watches: dict[Source, PositionWatch],
    tracer: Tracer,
) -> Router:
    limits = Limits(settings.fallback_cap, settings.fallback_rate, settings.fallback_rest)
    return Router(
        backends,
        board,
        SystemClock(),
        tracer,
        gate=FallbackGate(limits),
        watches=watches,
        token_patience=settings.token_patience,
    )


def _service(settings: Settings, router: Router, tenants: TenantDirectory) -> Service:
    servicer = QueryServicer(router, tenants, Paging(PageTokens(_seal(settings))), SystemClock())
    descriptor = query_service_pb2.DESCRIPTOR.services_by_name["QueryService"]
    return Service.of(descriptor, add_QueryServiceServicer_to_server, servicer)


def _seal(settings: Settings) -> bytes:
    key = settings.page_token_key
    return secrets.token_bytes(32) if key is None else key.get_secret_value().encode()[:64]
