"""Ack levels beyond the commit: proven by the query router, which is the one place that knows what a copy covers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import IntEnum
from typing import Protocol

import structlog
from atlas.freshness.v1 import freshness_pb2
from atlas.query.v1 import query_service_pb2, query_service_pb2_grpc
from atlaskit.errors import AtlasError, NotBuilt, Overloaded
from atlaskit.model import Source
from atlaskit.position import Token
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.errors import errors_from
from atlaskit.rpc.identity import Identity
from grpc import aio

log = structlog.get_logger(__name__)
RETRY = timedelta(seconds=1)  # what a caller is told who finds every place taken
WAY_BACK = timedelta(milliseconds=100)  # of the caller's time, kept for the answer; a tenth if that is less
_WIRE = {Source.REPLICA: freshness_pb2.DATA_SOURCE_REPLICA, Source.OLAP: freshness_pb2.DATA_SOURCE_OLAP}


class AckLevel(IntEnum):
    """How far a write has come; the numbers are those of the contract, and each level includes those before it."""

    NOTHING = 0
    COMMITTED = 1
    REPLICATED = 2
    OLAP_VISIBLE = 3


class Coverage(Protocol):
    """What knows when a copy covers a position."""

    async def wait(self, tenant_id: int, token: Token, source: Source, limit: timedelta) -> None:
        """Return once the copy provably covers the token. Raises an AtlasError if it does not within `limit`."""
        ...


class RouterCoverage:
    """Asks the query router, over one channel."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = query_service_pb2_grpc.QueryServiceStub(channel)

    async def wait(self, tenant_id: int, token: Token, source: Source, limit: timedelta) -> None:
        """Return once the copy covers the token. Raises RemoteError."""
        request = query_service_pb2.WaitForPositionRequest(tenant_id=tenant_id, token=str(token), source=_WIRE[source])
        try:
            whose = Identity("ingest", tenant_id).metadata()
            await self._stub.WaitForPosition(request, timeout=limit.total_seconds(), metadata=whose)
        except aio.AioRpcError as error:
            raise errors_from(error) from error


class Acknowledgements:
    """Waits for ack levels, for at most `most` batches at a time. Without `coverage` there is none but COMMITTED."""

    def __init__(self, coverage: Coverage | None, most: int) -> None:
        self._coverage = coverage
        self._most = most
        self._waiting = 0

    @contextmanager
    def place(self, asked: AckLevel) -> Iterator[None]:
        """Hold a place for one batch for the block. To be entered before anything is written.

        Raises NotBuilt for a level that this deployment cannot prove, Overloaded when every place is taken."""
        if asked <= AckLevel.COMMITTED:
            yield
            return
        if self._coverage is None:
            raise NotBuilt(
                f"ack_level: this service is not told where the query router is, which proves {asked.name}; "
                "ask for COMMITTED and pass write_token to the read as at_least_token"
            )
        if self._waiting >= self._most:
            raise Overloaded("the number of batches that wait for an ack level", RETRY, "ACK_WAITERS_FULL")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def reached(self, tenant_id: int, token: Token | None, asked: AckLevel, deadline: Deadline) -> AckLevel:
        """Return the level that the write of this token has reached, once it is the one asked for or time is short.

        What cannot be proven in time is no error: the write is committed, and the answer says how far it came."""
        if token is None:
            return AckLevel.NOTHING
        if asked <= AckLevel.COMMITTED or self._coverage is None:
            return AckLevel.COMMITTED
        limit = time_to_wait(deadline.remaining())
        copies = [Source.REPLICA, Source.OLAP][: asked - AckLevel.COMMITTED]
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(self._covers(tenant_id, token, copy, limit)) for copy in copies]
        return level_of([wait.result() for wait in waits])

    async def _covers(self, tenant_id: int, token: Token, source: Source, limit: timedelta) -> bool:
        assert self._coverage is not None
        if not limit:
            return False
        try:
            await self._coverage.wait(tenant_id, token, source, limit)
        except AtlasError as error:
            log.info("an ack level was not reached", source=source.value, problem=str(error))
            return False
        return True


def time_to_wait(remaining: timedelta) -> timedelta:
    """Return the part of a caller's time that may pass before the answer is sent."""
    return max(remaining - min(WAY_BACK, remaining / 10), timedelta(0))


def level_of(covered: list[bool]) -> AckLevel:
    """Return the level that these copies, the replica first, make: each counts only with all before it."""
    level = AckLevel.COMMITTED
    for covers in covered:
        if not covers:
            break
        level = AckLevel(level + 1)
    return level
