"""Group commit: what arrives while every connection is busy shares the next transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

import structlog
from atlaskit.batch import WriteBatch, Written
from atlaskit.errors import AtlasError, Overloaded, Unavailable
from atlaskit.telemetry.carrier import links_to, parent_of
from atlaskit.telemetry.names import Attribute, SpanName
from opentelemetry.trace import Span, Tracer

log = structlog.get_logger(__name__)
FIRST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=2)
LEAST_LIMIT = timedelta(milliseconds=1)


class GroupWriter(Protocol):
    """What commits a group; for one task at a time."""

    @property
    def usable(self) -> bool:
        """False once it must be replaced."""
        ...

    async def reserve(self) -> int:
        """Return the number of the next transaction."""
        ...

    async def commit(
        self, number: int, batches: Sequence[WriteBatch], limit: timedelta
    ) -> Sequence[Written | AtlasError]:
        """Return what became of each batch; or raise, and all of them failed so."""
        ...


Opener = Callable[[], AbstractAsyncContextManager[GroupWriter]]


class Limits(NamedTuple):
    """Bounds of the queue and of one group. A group takes at least one batch, however large."""

    queue_rows: int
    queue_bytes: int
    group_rows: int
    transaction: timedelta


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: WriteBatch
    until: float  # the loop's clock: nobody waits for the answer after it
    answered: asyncio.Future[Written]

    @property
    def rows(self) -> int:
        return len(self.batch.states)


class GroupCommit:
    """Takes batches, and answers each once the transaction that it shares is committed."""

    def __init__(self, limits: Limits, tracer: Tracer) -> None:
        self._limits = limits
        self._tracer = tracer
        self._queue: deque[_Waiting] = deque()
        self._rows = self._bytes = self._connected = 0
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False
        self._pace = FIRST_PAUSE

    async def write(self, batch: WriteBatch, limit: timedelta) -> Written:
        """Return the answer to the batch once it is committed; the caller waits at most `limit`.

        A transaction runs no longer than the most patient of its callers waits. Raises Overloaded at once when the
        queue is full. Cancelled while it waits, the batch is not written; later, it
        may be: repeat it with the same request id, as after OutcomeUnknown."""
        if self._closed:
            raise Unavailable("this process is stopping; repeat the call at another one")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(batch, loop.time() + limit.total_seconds(), loop.create_future())
        full = self._rows + waiting.rows > self._limits.queue_rows or (
            self._bytes + batch.size_bytes > self._limits.queue_bytes
        )
        # A batch that alone exceeds the queue is taken by an empty one: its own limit is the contract's.
        if full and self._queue:
            raise Overloaded("the queue of rows waiting for a commit", retry_after=self._pace)
        self._push(waiting)
        return await waiting.answered

    def _push(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._rows += waiting.rows
        self._bytes += waiting.batch.size_bytes
        self._arrived.set()

    def _pop(self) -> _Waiting:
        waiting = self._queue.popleft()
        self._rows -= waiting.rows
        self._bytes -= waiting.batch.size_bytes
        return waiting

    def close(self) -> None:
        """Take nothing new; the writers end once the queue is empty."""
        self._closed = True
        self._arrived.set()

    async def work(self, opener: Opener) -> None:
        """Commit groups until closed and drained. A lost writer is replaced, after a pause that grows to 2 s."""
        pause = FIRST_PAUSE
        while not (self._closed and not self._queue):
            try:
                async with opener() as writer:
                    self._connected += 1
                    pause = FIRST_PAUSE
                    try:
                        await self._serve(writer)
                    finally:
                        self._connected -= 1
            except AtlasError as error:
                log.warning("no writer", problem=str(error))
                if not self._connected:
                    self._fail_waiting(error)
                await self._pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _pause(self, pause: timedelta) -> None:
        # Closed, nobody waits for the store to come back: what is still queued is failed at the next attempt.
        if not self._closed:
            await asyncio.sleep(pause.total_seconds())

    def _fail_waiting(self, error: AtlasError) -> None:
        while self._queue:
            _fail(self._pop(), error)

    async def _serve(self, writer: GroupWriter) -> None:
        while writer.usable:
            # One writer at a time takes a group and its number, so that numbers follow the order of arrival.
            async with self._turn:
                group = await self._group()
                if not group:
                    return
                number = await self._reserved(writer, group)
            if number is not None:
                await self._commit(writer, number, group)

    async def _reserved(self, writer: GroupWriter, group: Sequence[_Waiting]) -> int | None:
        try:
            return await writer.reserve()
        except AtlasError as error:
            for waiting in group:
                _fail(waiting, error)
            return None

    async def _group(self) -> list[_Waiting]:
        """Return what waits, up to the bounds of a group; wait if nothing does. Empty: closed and drained."""
        while True:
            group: list[_Waiting] = []
            rows = 0
            while self._queue and (not group or rows + self._queue[0].rows <= self._limits.group_rows):
                waiting = self._pop()
                if not waiting.answered.done():  # nobody waits any more for what was cancelled
                    group.append(waiting)
                    rows += waiting.rows
            if group or self._closed:
                return group
            self._arrived.clear()
            await self._arrived.wait()

    async def _commit(self, writer: GroupWriter, number: int, group: Sequence[_Waiting]) -> None:
        began = asyncio.get_running_loop().time()
        patience = timedelta(seconds=max(waiting.until for waiting in group) - began)
        limit = min(self._limits.transaction, max(patience, LEAST_LIMIT))
        with self._span(group) as span:
            try:
                outcomes = await writer.commit(number, [w.batch for w in group], limit)
            except AtlasError as error:
                span.set_attribute(Attribute.ERROR_TYPE, error.reason)
                log.warning("a group was not committed", calls=len(group), problem=str(error))
                for waiting in group:
                    _fail(waiting, error)
                return
            except BaseException as error:
                log.error("a writer failed", calls=len(group), problem=repr(error))
                for waiting in group:
                    _fail(waiting, Unavailable("the writer failed; repeat the call with the same request_id"))
                raise
        for waiting, outcome in zip(group, outcomes, strict=True):
            _answer(waiting, outcome)
        self._pace = max(timedelta(seconds=asyncio.get_running_loop().time() - began), FIRST_PAUSE)

    def _span(self, group: Sequence[_Waiting]) -> AbstractContextManager[Span]:
        traces = [waiting.batch.traceparent for waiting in group if waiting.batch.traceparent]
        attributes: dict[str, int] = {
            Attribute.CALLS: len(group),
            Attribute.ROWS: sum(waiting.rows for waiting in group),
        }
        return self._tracer.start_as_current_span(
            SpanName.INGEST_COMMIT,
            context=parent_of(traces[0] if traces else ""),
            links=links_to(traces[1:]),
            attributes=attributes,
        )


def _answer(waiting: _Waiting, outcome: Written | AtlasError) -> None:
    if isinstance(outcome, AtlasError):
        _fail(waiting, outcome)
    elif not waiting.answered.done():
        waiting.answered.set_result(outcome)


def _fail(waiting: _Waiting, error: AtlasError) -> None:
    if not waiting.answered.done():
        waiting.answered.set_exception(error)


@asynccontextmanager
async def group_commit(opener: Opener, writers: int, limits: Limits, tracer: Tracer) -> AsyncIterator[GroupCommit]:
    """Yield the group commit over `writers` connections. On exit it takes nothing new and commits all that waits."""
    commit = GroupCommit(limits, tracer)
    async with asyncio.TaskGroup() as tasks:
        for number in range(writers):
            tasks.create_task(commit.work(opener), name=f"writer-{number}")
        try:
            yield commit
        finally:
            commit.close()
