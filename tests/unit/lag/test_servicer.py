"""Ages travel only in answer to a question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

import grpc
import pytest
from atlas.lag.v1 import lag_service_pb2 as pb
from atlas.lag.v1 import lag_service_pb2_grpc
from atlas_lag_monitor.board import Board
from atlas_lag_monitor.evidence import Evidence
from atlas_lag_monitor.servicer import LagServicer, Questions
from atlaskit.clock import BootInstant
from atlaskit.freshness.reading import PrimaryMode
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.probes import PrimaryLook
from atlaskit.rpc.server import Service, serving

WATCHERS = 2


class HandClock:
    """Moved by hand; `slept` is what the machine was suspended, which monotonic time does not count."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept = 0.0

    def boot(self) -> BootInstant:
        return BootInstant(int((self.seconds + self.slept) * 1e9))

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def board(clock: HandClock) -> Board:
    evidence = Evidence(UUID(int=5), PrimaryMode.SINGLE)
    look = PrimaryLook(False, SourceIdentity(7, 1), Lsn(100), "on", False, True)
    evidence.saw_primary(evidence.generation, clock.boot(), look)
    return Board(evidence, clock)


@pytest.fixture
async def stub(board: Board) -> AsyncIterator[lag_service_pb2_grpc.LagServiceAsyncStub]:
    descriptor = pb.DESCRIPTOR.services_by_name["LagService"]
    add = lag_service_pb2_grpc.add_LagServiceServicer_to_server
    service = Service.of(descriptor, add, LagServicer(board, WATCHERS))
    async with (
        serving([service], "127.0.0.1:0", drain=timedelta(0)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield lag_service_pb2_grpc.LagServiceStub(channel)


async def test_an_age_is_computed_after_its_question_arrived(
    stub: lag_service_pb2_grpc.LagServiceAsyncStub, clock: HandClock
) -> None:
    call = stub.WatchLag()
    for nonce, passed in ((1, 2.0), (2, 3.0), (7, 5.0)):
        clock.seconds += passed
        await call.write(pb.WatchLagRequest(nonce=nonce))
        answer = await call.read()
        assert isinstance(answer, pb.WatchLagResponse)
        assert answer.nonce == nonce
        assert answer.reading.fences[0].age.ToTimedelta() == timedelta(seconds=clock.seconds - 100)
    call.cancel()


async def test_nothing_is_sent_without_a_question(stub: lag_service_pb2_grpc.LagServiceAsyncStub) -> None:
    call = stub.WatchLag()
    await call.write(pb.WatchLagRequest(nonce=1))
    await call.read()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("second", [1, 0, -5])
async def test_a_nonce_that_does_not_rise_ends_the_stream(
    stub: lag_service_pb2_grpc.LagServiceAsyncStub, second: int
) -> None:
    call = stub.WatchLag()
    await call.write(pb.WatchLagRequest(nonce=1))
    await call.read()
    await call.write(pb.WatchLagRequest(nonce=second))
    with pytest.raises(grpc.aio.AioRpcError, match="NONCE|greater"):
        await call.read()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_slow_caller_gets_an_answer_to_its_newest_question_only() -> None:
    questions = Questions()
    for nonce in (1, 2, 3):
        questions.ask(nonce)
    assert await questions.newest() == 3
    waiting = asyncio.ensure_future(questions.newest())
    questions.end()
    assert await waiting is None


async def test_one_watcher_too_many_is_refused_and_a_place_comes_free_again(
    stub: lag_service_pb2_grpc.LagServiceAsyncStub,
) -> None:
    async def ask() -> grpc.aio.StreamStreamCall[pb.WatchLagRequest, pb.WatchLagResponse]:
        call = stub.WatchLag()
        await call.write(pb.WatchLagRequest(nonce=1))
        await call.read()
        return call

    async with AsyncExitStack() as watching:
        for _ in range(WATCHERS):
            watching.callback((await ask()).cancel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with asyncio.timeout(5):
        while True:
            try:
                (await ask()).cancel()
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.01)  # until the server has seen that the others left


async def test_a_suspend_drops_every_proof(stub: lag_service_pb2_grpc.LagServiceAsyncStub, clock: HandClock) -> None:
    assert (await stub.GetLag(pb.GetLagRequest(), timeout=5)).reading.fences
    clock.slept = 60.0
    reading = (await stub.GetLag(pb.GetLagRequest(), timeout=5)).reading
    assert not reading.fences
    assert reading.source.system_identifier == "7"


async def test_what_is_unknown_is_unset_in_the_message(stub: lag_service_pb2_grpc.LagServiceAsyncStub) -> None:
    reading = (await stub.GetLag(pb.GetLagRequest(), timeout=5)).reading
    assert reading.source.epoch == 0
    assert not reading.HasField("primary_beat_age")
    assert [copy.copy for copy in reading.copies] == [pb.COPY_PRIMARY]
    assert not reading.copies[0].HasField("lag_bytes")
