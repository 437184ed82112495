"""Everything the query router is made of, opened in order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from atlas.query.v1 import query_service_pb2
from atlas.query.v1.query_service_pb2_grpc import add_QueryServiceServicer_to_server
from atlaskit.clock import SystemClock
from atlaskit.model import Source
from atlaskit.postgres.grants import granted
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.client import open_channel
from atlaskit.rpc.server import Service, serving
from atlaskit.telemetry.metrics import open_metrics
from atlaskit.telemetry.tracing import open_tracing
from opentelemetry.trace import Tracer

from atlas_query_router.backends import Backend
from atlas_query_router.classes import ClassedBackend, QueryClass
from atlas_query_router.fallback_gate import FallbackGate, Limits
from atlas_query_router.grants import Grants
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.lag_stream import follow
from atlas_query_router.metrics import AnswerMetrics, decision_metrics
from atlas_query_router.olap_backend import OlapBackend
from atlas_query_router.page_token import PageTokens
from atlas_query_router.paging import Paging
from atlas_query_router.position_watch import PositionWatch
from atlas_query_router.postgres_backends import PrimaryBackend, ReplicaBackend
from atlas_query_router.router import Router
from atlas_query_router.servicer import QueryServicer
from atlas_query_router.settings import Settings
from atlas_query_router.stores import Stores, open_stores, tenant_limits
from atlas_query_router.tenant_gate import TenantGate
from atlas_query_router.tenants import TenantDirectory

NAME = "query-router"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """Yield the bound port of the running service. It starts also while the stores and the monitor are away.

    On exit calls are drained first, then the monitor is no longer asked, then connections close.
    """
    async with (
        open_tracing(NAME, settings) as tracer,
        open_metrics(NAME, settings) as meter,
        open_stores(settings, QueryClass.OPERATIONAL) as operational,
        open_stores(settings, QueryClass.ANALYTICAL) as analytical,
        _followed(settings) as board,
    ):
        stores = {QueryClass.OPERATIONAL: operational, QueryClass.ANALYTICAL: analytical}
        backends = _backends(settings, board, stores)
        primary, replica = operational.primary, operational.replica
        tenants = TenantDirectory(Tenants(replica), Tenants(primary))
        # The primary is asked: how late a replica learns of a revocation is not bounded.
        grants = Grants(partial(granted, primary), settings.grants_age)
        gate = FallbackGate(Limits(settings.fallback_cap, settings.fallback_rate, settings.fallback_rest))
        decision_metrics(meter, gate, board)
        async with _watched(settings, backends) as watches:
            router = _router(settings, backends, board, watches, tracer=tracer, gate=gate)
            paging = Paging(PageTokens(_seal(settings)))
            servicer = QueryServicer(router, tenants, paging, SystemClock(), grants, metrics=AnswerMetrics(meter))
            async with serving(
                [_service(servicer)],
                settings.address,
                drain=settings.drain,
                probe_period=settings.probe_period,
                tracer=tracer,
                meter=meter,
                identity=settings.identity,
            ) as port:
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


def _backends(settings: Settings, board: LagBoard, stores: Mapping[QueryClass, Stores]) -> dict[Source, Backend]:
    clock, gate = SystemClock(), TenantGate(tenant_limits(settings))

    def classed(made: Callable[[Stores], Backend]) -> Backend:
        return ClassedBackend({kind: made(store) for kind, store in stores.items()}, gate)

    return {
        Source.PRIMARY: classed(lambda store: PrimaryBackend(store.primary, board, clock)),
        Source.REPLICA: classed(lambda store: ReplicaBackend(store.replica, board)),
        Source.OLAP: classed(lambda store: OlapBackend(store.clickhouse, board, clock)),
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
    *,
    tracer: Tracer,
    gate: FallbackGate,
) -> Router:
    return Router(
        backends,
        board,
        SystemClock(),
        tracer,
        gate=gate,
        watches=watches,
        token_patience=settings.token_patience,
    )


def _service(servicer: QueryServicer) -> Service:
    descriptor = query_service_pb2.DESCRIPTOR.services_by_name["QueryService"]
    return Service.of(descriptor, add_QueryServiceServicer_to_server, servicer)


def _seal(settings: Settings) -> bytes:
    key = settings.page_token_key
    return secrets.token_bytes(32) if key is None else key.get_secret_value().encode()[:64]
