"""A lag monitor that asks a real primary for each answer, and that the test can make forget."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
from atlas.lag.v1 import lag_service_pb2 as pb
from atlas.lag.v1.lag_service_pb2_grpc import LagServiceServicer, add_LagServiceServicer_to_server
from atlaskit.clock import BootInstant, SystemClock
from grpc import aio

FENCE = """
    SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint AS position, system_identifier::text AS system_identifier,
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer AS timeline
    FROM pg_control_system()
"""
RING = 50


class LagMonitorDouble(LagServiceServicer):
    """Takes a fence of the primary with each question. `epoch` 0: none is registered."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._clock = SystemClock()
        self._fences: list[tuple[BootInstant, int]] = []
        self.epoch = 1
        self.replica_lag: timedelta | None = timedelta(milliseconds=1)
        self.problem = ""

    async def WatchLag(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.WatchLagRequest], context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.WatchLagResponse]:
        connection = await asyncpg.connect(self._dsn)
        try:
            async for question in request_iterator:
                stamp = self._clock.boot()
                row = await connection.fetchrow(FENCE)
                assert row is not None
                self._fences = [(stamp, row["position"]), *self._fences[: RING - 1]]
                source = pb.SourceIdentity(
                    system_identifier=row["system_identifier"], timeline=row["timeline"], epoch=self.epoch
                )
                yield pb.WatchLagResponse(nonce=question.nonce, reading=self._reading(source))
        finally:
            await connection.close()

    async def GetLag(self, request: pb.GetLagRequest, context: aio.ServicerContext[Any, Any]) -> pb.GetLagResponse:  # noqa: N802
        raise NotImplementedError

    def _reading(self, source: pb.SourceIdentity) -> pb.LagReading:
        reading = pb.LagReading(source=source, monitor_id="double", primary_mode=pb.PRIMARY_MODE_SINGLE)
        now = self._clock.boot()
        for stamp, position in self._fences:
            reading.fences.add(wal_position_bytes=position).age.FromTimedelta(stamp.age_at(now))
        reading.copies.add(copy=pb.COPY_PRIMARY, reachable=True).lag.FromTimedelta(timedelta(0))
        replica = reading.copies.add(copy=pb.COPY_REPLICA, reachable=True, problem=self.problem)
        if self.replica_lag is not None:
            replica.lag.FromTimedelta(self.replica_lag)
        return reading


@asynccontextmanager
async def lag_monitor(dsn: str) -> AsyncIterator[tuple[LagMonitorDouble, str]]:
    """Serve a double and yield it with its address."""
    server = aio.server()
    double = LagMonitorDouble(dsn)
    add_LagServiceServicer_to_server(double, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield double, address
    finally:
        await server.stop(None)
