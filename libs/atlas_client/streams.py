"""A stream of batches that survives a lost connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from atlas.ingest.v1 import ingest_service_pb2 as pb
from grpc import StatusCode, aio

from atlas_client.answers import BatchOutcome, written_of
from atlas_client.budget import RetryBudget
from atlas_client.calls import Deadline, call, pause
from atlas_client.errors import CallFailed

WINDOW = 8  # batches in flight: what the contract lets a service take in before it answers

CODES: dict[int, StatusCode] = {code.value[0]: code for code in StatusCode}


class BatchStream:
    """Sends batches and takes their answers in order. What was not answered when the connection broke is sent again."""

    def __init__(
        self, stream: Callable[..., Any], unary: Callable[..., Any], deadline: Deadline, budget: RetryBudget
    ) -> None:
        self._budget = budget
        self._open = stream
        self._unary = unary
        self._deadline = deadline
        self._unanswered: deque[pb.WriteAttributesRequest] = deque()
        self._breaks = 0
        self._call: Any = None

    async def outcomes(self, writes: AsyncIterator[pb.WriteAttributesRequest]) -> AsyncGenerator[BatchOutcome, None]:
        """Yield what became of each batch; while fewer than `WINDOW` are unanswered the next one is taken first."""
        try:
            async for write in writes:
                self._unanswered.append(write)
                self._budget.called()
                await self._step(write)
                if len(self._unanswered) >= WINDOW:
                    yield await self._next()
            while self._unanswered:
                yield await self._next()
            await self._finish()
        finally:
            if self._call is not None:
                self._call.cancel()

    async def _next(self) -> BatchOutcome:
        message = await self._step(None)
        write = self._unanswered.popleft()
        self._breaks = 0
        if message.WhichOneof("outcome") == "written":
            return BatchOutcome(message.request_id, written_of(message.request_id, message.written), None)
        refusal = _failure(message.error)
        if refusal.retry_after is None:
            return BatchOutcome(message.request_id, None, refusal)
        return await self._alone(write, refusal)

    async def _alone(self, write: pb.WriteAttributesRequest, refusal: CallFailed) -> BatchOutcome:
        # Too full for it: once more by itself, while the rest of the stream waits, which is what eases the load.
        try:
            await pause(refusal, 1, self._deadline, self._budget)
            answer = await call(self._unary, write, self._deadline, self._budget)
        except CallFailed as error:
            return BatchOutcome(write.request_id, None, error)
        return BatchOutcome(write.request_id, written_of(write.request_id, answer), None)

    async def _step(self, write: pb.WriteAttributesRequest | None) -> Any:
        """Send the newest unanswered batch, or, given None, return the answer to the oldest."""
        while True:
            try:
                if self._call is None:
                    await self._reopen()  # which sends all that is unanswered, `write` with it
                elif write is not None:
                    await self._send(write)
                return await self._read() if write is None else None
            except aio.AioRpcError as error:
                self._call = None
                self._breaks += 1
                await pause(CallFailed.of(error), self._breaks, self._deadline, self._budget)

    async def _finish(self) -> None:
        if self._call is not None:
            with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):
                await self._call.done_writing()
                await self._call.code()

    async def _reopen(self) -> None:
        self._call = self._open(timeout=self._deadline.remaining())
        for write in self._unanswered:
            await self._send(write)

    async def _send(self, write: pb.WriteAttributesRequest) -> None:
        try:
            await self._call.write(pb.StreamWriteAttributesRequest(write=write))
        except asyncio.InvalidStateError:
            await self._ended()
        except aio.AioRpcError as error:
            # A write to a call that just ended hides the status it ended with behind INTERNAL.
            if error.code() is not StatusCode.INTERNAL:
                raise
            raise _unavailable(error) from None

    async def _read(self) -> pb.StreamWriteAttributesResponse:
        message = await self._call.read()
        if message is aio.EOF:
            await self._ended()
        answer: pb.StreamWriteAttributesResponse = message
        return answer

    async def _ended(self) -> None:
        # The stream is over though something is unanswered; if the service says OK to that, it went away.
        code = await self._call.code()
        raise aio.AioRpcError(
            StatusCode.UNAVAILABLE if code is StatusCode.OK else code,
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            details=await self._call.details(),
        )


def _unavailable(error: aio.AioRpcError) -> aio.AioRpcError:
    return aio.AioRpcError(StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), error.details())


def _failure(error: pb.BatchError) -> CallFailed:
    retry_after: timedelta | None = error.retry_delay.ToTimedelta() if error.HasField("retry_delay") else None
    code = CODES.get(error.code, StatusCode.UNKNOWN)
    return CallFailed(code, error.reason, error.message, field=error.field, retry_after=retry_after)
