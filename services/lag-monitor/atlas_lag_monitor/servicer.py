"""LagService: the board, asked for once or followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from atlas.lag.v1.lag_service_pb2 import GetLagRequest, GetLagResponse, WatchLagRequest, WatchLagResponse
from atlas.lag.v1.lag_service_pb2_grpc import LagServiceServicer
from atlaskit.errors import InvalidRequest, Overloaded
from grpc import aio

from atlas_lag_monitor.board import Board
from atlas_lag_monitor.messages import reading_message

Context = aio.ServicerContext[Any, Any]

_RETRY_AFTER = timedelta(seconds=1)


class LagServicer(LagServiceServicer):
    """Answers from the board; at most `watchers` streams at a time."""

    def __init__(self, board: Board, watchers: int) -> None:
        self._board = board
        self._free = watchers

    async def GetLag(self, request: GetLagRequest, context: Context) -> GetLagResponse:  # noqa: N802
        """Return the board now."""
        return GetLagResponse(reading=reading_message(self._board.reading()))

    async def WatchLag(  # type: ignore[override]  # noqa: N802  # grpc.aio also takes a method that writes
        self, request_iterator: AsyncIterator[WatchLagRequest], context: Context
    ) -> None:
        """Answer each question, or of those that came while the caller was slow only the newest."""
        if self._free <= 0:
            raise Overloaded("the number of watchers", _RETRY_AFTER)
        self._free -= 1
        questions = Questions()
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(_read(request_iterator, questions), name="watch-lag-questions")
                while (nonce := await questions.newest()) is not None:
                    # The ages are computed here, after the nonce has arrived.
                    await context.write(WatchLagResponse(nonce=nonce, reading=reading_message(self._board.reading())))
                reader.cancel()
        finally:
            self._free += 1
        if questions.fault is not None:
            raise questions.fault


class Questions:
    """The newest nonce that was not answered yet, and the end of them. Holds one at most."""

    def __init__(self) -> None:
        self.fault: InvalidRequest | None = None
        self._last = 0
        self._open = True
        self._waiting: int | None = None
        self._changed = asyncio.Event()

    def ask(self, nonce: int) -> bool:
        """Take a nonce in place of one that waits. One that does not rise ends the questions: then return False."""
        if nonce <= self._last:
            text = f"must be greater than every nonce before it on the stream: {nonce} is not above {self._last}"
            self.fault = InvalidRequest("nonce", text, "NONCE_NOT_RISING")
            self._waiting = None
            self.end()
            return False
        self._last = self._waiting = nonce
        self._changed.set()
        return True

    def end(self) -> None:
        """There will be no more."""
        self._open = False
        self._changed.set()

    async def newest(self) -> int | None:
        """Wait for a nonce and return the newest, once; None after the end."""
        while self._waiting is None and self._open:
            self._changed.clear()
            await self._changed.wait()
        nonce, self._waiting = self._waiting, None
        return nonce


async def _read(requests: AsyncIterator[WatchLagRequest], questions: Questions) -> None:
    try:
        async for request in requests:
            if not questions.ask(request.nonce):
                return
    finally:
        questions.end()
