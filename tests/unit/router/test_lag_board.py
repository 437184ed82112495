from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from atlas.lag.v1 import lag_service_pb2 as pb
from atlas.lag.v1.lag_service_pb2_grpc import LagServiceServicer, add_LagServiceServicer_to_server
from atlas_query_router.lag_board import MAX_OPEN_QUESTIONS, LagBoard
from atlas_query_router.lag_stream import follow
from atlaskit.clock import BootInstant, SystemClock
from atlaskit.errors import Overloaded
from atlaskit.freshness.reading import AgedFence, Reading
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.rpc.deadline import Deadline
from grpc import aio

SECOND = timedelta(seconds=1)
READING = Reading(SourceIdentity(7, 1), 1, fences=(AgedFence(Lsn(10), timedelta(milliseconds=100)),))


@dataclass
class HandClock:
    now: int = 100_000_000_000
    suspended: int = 0

    def boot(self) -> BootInstant:
        return BootInstant(self.now + self.suspended)

    def monotonic(self) -> float:
        return self.now / 1e9

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


async def test_an_age_counts_back_from_the_question_and_is_stretched() -> None:
    clock = HandClock()
    board = LagBoard(clock, SECOND)
    nonce = board.question()
    asked = clock.boot()
    clock.now += 500_000_000  # the answer took half a second, which the claim has to bear
    assert await board.answer(nonce, READING)
    known = board.known()
    assert known is not None
    assert known.asked == asked
    assert known.fences[0].instant == asked.minus(timedelta(microseconds=100_100))


async def test_a_reading_without_a_question_proves_nothing() -> None:
    board = LagBoard(HandClock(), SECOND)
    nonce = board.question()
    for unasked in (0, nonce + 1, -1):
        assert not await board.answer(unasked, READING)
    assert board.known() is None


async def test_an_answer_to_an_older_question_does_not_replace_a_newer_one() -> None:
    board = LagBoard(HandClock(), SECOND)
    older, newer = board.question(), board.question()
    assert await board.answer(newer, READING)
    assert not await board.answer(older, Reading())
    known = board.known()
    assert known is not None
    assert known.fences


async def test_open_questions_are_bounded() -> None:
    board = LagBoard(HandClock(), SECOND)
    first = board.question()
    for _ in range(MAX_OPEN_QUESTIONS):
        board.question()
    assert not await board.answer(first, READING)


async def test_a_reading_older_than_its_limit_is_unknown() -> None:
    clock = HandClock()
    board = LagBoard(clock, SECOND)
    await board.answer(board.question(), READING)
    clock.now += 1_000_000_000
    assert board.known() is not None
    clock.now += 1000
    assert board.known() is None


async def test_a_suspend_drops_what_is_known_and_what_was_asked() -> None:
    clock = HandClock()
    board = LagBoard(clock, timedelta(hours=1))
    await board.answer(board.question(), READING)
    nonce = board.question()
    clock.suspended += 60_000_000_000
    assert board.known() is None
    assert not await board.answer(nonce, READING)


async def test_waiting_ends_when_the_time_is_over() -> None:
    board = LagBoard(HandClock(), SECOND)
    assert not await board.next_reading(Deadline.after(timedelta(milliseconds=20)))


async def test_no_more_than_may_wait_for_a_reading() -> None:
    board = LagBoard(HandClock(), SECOND, most=2)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waits = [group.create_task(board.next_reading(Deadline.after(10 * SECOND))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await board.next_reading(Deadline.after(SECOND))
        waits[0].cancel()
        await asyncio.wait(waits[:1])
        waits.append(group.create_task(board.next_reading(Deadline.after(10 * SECOND))))
        await asyncio.sleep(0)
        assert await board.answer(board.question(), READING)
        assert [await wait for wait in waits[1:]] == [True, True]


class Monitor(LagServiceServicer):
    """A lag monitor whose answers the test decides: None keeps silent."""

    def __init__(self) -> None:
        self.streams = 0
        self.answer: Callable[[int], pb.WatchLagResponse | None] = good

    async def WatchLag(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.WatchLagRequest], context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.WatchLagResponse]:
        self.streams += 1
        async for question in request_iterator:
            if (response := self.answer(question.nonce)) is not None:
                yield response

    async def GetLag(self, request: pb.GetLagRequest, context: aio.ServicerContext[Any, Any]) -> pb.GetLagResponse:  # noqa: N802
        raise NotImplementedError


def good(nonce: int) -> pb.WatchLagResponse:
    reading = pb.LagReading(source=pb.SourceIdentity(system_identifier="7", timeline=1, epoch=2), monitor_id="m")
    fence = reading.fences.add(wal_position_bytes=10)
    fence.age.FromTimedelta(timedelta(milliseconds=5))
    copy = reading.copies.add(copy=pb.COPY_REPLICA, reachable=True)
    copy.lag.FromTimedelta(timedelta(milliseconds=3))
    return pb.WatchLagResponse(nonce=nonce, reading=reading)


@asynccontextmanager
async def followed(monitor: Monitor, limit: timedelta = SECOND) -> AsyncIterator[LagBoard]:
    server = aio.server()
    add_LagServiceServicer_to_server(monitor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    board = LagBoard(SystemClock(), limit)
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.TaskGroup() as group:
            task = group.create_task(follow(channel, board, timedelta(milliseconds=10), timedelta(milliseconds=200)))
            try:
                yield board
            finally:
                task.cancel()
    finally:
        await server.stop(None)


async def reached(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_the_board_knows_what_the_monitor_answers() -> None:
    async with followed(Monitor()) as board:
        assert await board.next_reading(Deadline.after(10 * SECOND))
        known = board.known()
    assert known is not None
    assert known.identity == SourceIdentity(7, 1)
    assert known.epoch == 2
    assert known.fences[0].lsn == Lsn(10)


@pytest.mark.parametrize("nonce", [0, 10**9])
async def test_a_pushed_reading_proves_nothing(nonce: int) -> None:
    monitor = Monitor()
    pushed = asyncio.Event()

    def push(_: int) -> pb.WatchLagResponse:
        pushed.set()
        return good(nonce)

    monitor.answer = push
    async with followed(monitor) as board:
        await pushed.wait()
        assert not await board.next_reading(Deadline.after(timedelta(milliseconds=100)))
        assert board.known() is None


async def test_a_slow_monitor_is_unknown() -> None:
    monitor = Monitor()
    limit = timedelta(milliseconds=100)
    async with followed(monitor, limit) as board:
        assert await board.next_reading(Deadline.after(10 * SECOND))
        monitor.answer = lambda _: None
        await reached(lambda: board.known() is None)


async def test_a_silent_stream_is_opened_anew() -> None:
    monitor = Monitor()
    monitor.answer = lambda _: None
    async with followed(monitor) as board:
        await reached(lambda: monitor.streams >= 2)
        monitor.answer = good
        assert await board.next_reading(Deadline.after(10 * SECOND))


async def test_a_reading_that_makes_no_sense_ends_the_stream_and_not_the_router() -> None:
    monitor = Monitor()
    nonsense = good(1)
    nonsense.reading.source.system_identifier = "not a number"

    def answer(nonce: int) -> pb.WatchLagResponse:
        nonsense.nonce = nonce
        return nonsense

    monitor.answer = answer
    async with followed(monitor) as board:
        await reached(lambda: monitor.streams >= 2)
        assert board.known() is None
