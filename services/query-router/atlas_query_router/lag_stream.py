"""Asks the lag monitor, without end, and puts its answers on the board."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any, NoReturn

import structlog
from atlas.lag.v1.lag_service_pb2 import WatchLagRequest
from atlas.lag.v1.lag_service_pb2_grpc import LagServiceStub
from grpc import aio

from atlas_query_router.lag_board import LagBoard
from atlas_query_router.lag_wire import reading_of

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.05  # seconds before the second attempt; it doubles
LONGEST_PAUSE = 2.0


async def follow(channel: aio.Channel, board: LagBoard, interval: timedelta, silence: timedelta) -> NoReturn:
    """Keep a stream to the lag monitor open, asking every `interval`; one silent for `silence` is opened anew.

    While there is none the board's reading ages, and is soon unknown. Attempts are paused for up to 2 s, with jitter.
    """
    pause = FIRST_PAUSE
    connected = True
    while True:
        answered = await _one_stream(channel, board, interval, silence)
        if answered:
            pause, connected = FIRST_PAUSE, True
        if connected:
            log.warning("the lag monitor does not answer; staleness is unknown until it does")
            connected = answered
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, LONGEST_PAUSE)


async def _one_stream(channel: aio.Channel, board: LagBoard, interval: timedelta, silence: timedelta) -> bool:
    """Ask and listen on one stream until it ends or goes silent; return True if it ever gave a reading."""
    call = LagServiceStub(channel).WatchLag()
    answered = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_ask(call, board, interval), name="lag-questions")
            group.create_task(_listen(call, board, silence, answered), name="lag-answers")
    except* (aio.AioRpcError, asyncio.InvalidStateError, _StreamOver) as over:
        log.debug("the stream of readings ended", causes=[str(cause) for cause in over.exceptions])
    finally:
        call.cancel()
    return answered.is_set()


class _StreamOver(Exception):
    """The monitor ended the stream, or has been silent for too long."""


async def _ask(call: Any, board: LagBoard, interval: timedelta) -> NoReturn:
    while True:
        # The question counts as sent before it is: a write that waits only makes the ages greater.
        await call.write(WatchLagRequest(nonce=board.question()))
        await asyncio.sleep(interval.total_seconds())


async def _listen(call: Any, board: LagBoard, silence: timedelta, answered: asyncio.Event) -> NoReturn:
    while True:
        try:
            async with asyncio.timeout(silence.total_seconds()):
                message = await call.read()
        except TimeoutError:
            raise _StreamOver(f"silent for {silence}") from None
        if message is aio.EOF:
            raise _StreamOver("ended by the monitor")
        try:
            reading = reading_of(message.reading)
        except ValueError as error:
            raise _StreamOver(f"a reading makes no sense: {error}") from error
        if await board.answer(message.nonce, reading):
            answered.set()
