"""Group commit: what arrives while every connection is busy shares the next transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

import structlog
from atlaskit.batch import WriteBatch, Written
from atlaskit.errors import AtlasError, Overloaded, Unavailable
from atlaskit.telemetry.carrier import links_to, parent_of
from atlaskit.telemetry.names import Attribute, SpanName
from opentelemetry.trace import Span, Tracer

from atlas_ingest.admission import check_queue
from atlas_ingest.drain_rate import DrainRate
from atlas_ingest.fair_queue import Entry, FairQueue, QueueLimits

log = structlog.get_logger(__name__)
FIRST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=2)
LEAST_LIMIT = timedelta(milliseconds=1)
TELL_AFTER = 0.9  # share of a caller's patience
EXPRESS_FROM = 3  # writers, of which one is for small groups


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
    """Bounds of the queue and of one group. A group takes at least one batch, however large.

    A small group has less than `gather_rows` rows. While another one is being committed and `gather_calls` calls or
    more are on their way, it waits: until that one is done, it is small no more, or its first batch has waited for
    `gather`. Of three writers or more, one takes only groups of `express_rows` rows, so that small batches do not wait
    behind large ones.
    """

    queue: QueueLimits = QueueLimits(rows=500_000, size_bytes=256 * 1024 * 1024, tenant_share=0.5)
    queue_age: timedelta = timedelta(seconds=30)
    group_rows: int = 10_000
    gather: timedelta = timedelta(milliseconds=20)
    gather_rows: int = 1_000
    gather_calls: int = 8
    express_rows: int = 256
    transaction: timedelta = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class _Call:
    batch: WriteBatch
    until: float  # the loop's clock: nobody waits for the answer after it
    answered: asyncio.Future[Written]


_Group = Sequence[Entry[_Call]]


class GroupCommit:
    """Takes batches, and answers each once the transaction that it shares is committed.

    `queue` and `rate` are what admission looks at: what waits, and how fast that drains."""

    def __init__(self, limits: Limits, tracer: Tracer) -> None:
        self._limits = limits
        self._tracer = tracer
        self.queue: FairQueue[_Call] = FairQueue(limits.queue)
        self.rate = DrainRate()
        self._wakes: list[asyncio.Event] = []
        self._gathered = asyncio.Event()
        self._turn = asyncio.Lock()
        self._connected = self._committing = self._small = 0
        self._problem: AtlasError | None = None
        self._closed = False

    async def write(self, batch: WriteBatch, limit: timedelta) -> Written:
        """Return the answer to the batch once it is committed; the caller waits at most `limit`.

        A transaction runs no longer than the most patient of its callers waits. Raises Overloaded at once when the
        queue is full, and after `queue_age` in it; if no store is there, what was wrong with it. Cancelled while it
        waits, the batch is not written; later, it may be: repeat it with the same request id, as after OutcomeUnknown.
        """
        if self._closed:
            raise Unavailable("this process is stopping; repeat the call at another one")
        loop = asyncio.get_running_loop()
        now, rows, tenant = loop.time(), len(batch.states), batch.tenant.tenant_id
        check_queue(self.queue, self.rate, tenant, rows, batch.size_bytes)
        call = _Call(batch, now + limit.total_seconds(), loop.create_future())
        entry = Entry(tenant, rows, batch.size_bytes, now, call)
        self.queue.push(entry)
        if self.queue.rows >= self._limits.gather_rows:
            self._gathered.set()
        self._wake()
        try:
            return await self._answer(entry)
        finally:
            self.queue.drop(entry)
            call.answered.cancel()  # no effect once it is answered

    async def _answer(self, entry: Entry[_Call]) -> Written:
        # The bound is on the wait in the queue; a transaction has its own. A caller with less patience hears the cause
        # shortly before it gives up.
        answered = entry.item.answered
        patience = min(self._limits.queue_age.total_seconds(), (entry.item.until - entry.arrived) * TELL_AFTER)
        await asyncio.wait([answered], timeout=patience)
        if entry.queued:
            raise self._too_old()
        return await answered

    def _too_old(self) -> AtlasError:
        if self._problem is not None and not self._connected:
            return self._problem
        return Overloaded(
            "the queue, in which the batch grew too old,", self.rate.time_for(self.queue.rows), "QUEUE_AGE"
        )

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    def close(self) -> None:
        """Take nothing new; the writers end once the queue is empty."""
        self._closed = True
        self._gathered.set()
        self._wake()

    async def work(self, opener: Opener, *, express: bool = False) -> None:
        """Commit groups until closed and drained. A lost writer is replaced, after a pause that grows to 2 s.

        While there is none, batches wait in the queue; closed, they are failed."""
        pause = FIRST_PAUSE
        while not (self._closed and not self.queue.calls):
            try:
                async with opener() as writer:
                    self._connected += 1
                    pause = FIRST_PAUSE
                    try:
                        await self._serve(writer, express=express)
                    finally:
                        self._connected -= 1
                if self._closed and express:
                    return
            except AtlasError as error:
                log.warning("no writer", problem=str(error))
                self._problem = error
                if self._closed and not self._connected:
                    self._fail_waiting(error)
                await self._pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _pause(self, pause: timedelta) -> None:
        # Closed, nobody waits for the store to come back: what is still queued is failed at the next attempt.
        if not self._closed:
            await asyncio.sleep(pause.total_seconds())

    def _fail_waiting(self, error: AtlasError) -> None:
        while group := self.queue.take(self._limits.group_rows):
            _fail(group, error)

    async def _serve(self, writer: GroupWriter, *, express: bool) -> None:
        wake = asyncio.Event()
        self._wakes.append(wake)
        try:
            while writer.usable:
                # One writer at a time takes a group and its number, so that numbers follow the order of arrival.
                async with self._turn:
                    await self._gather()
                    group = self._take(express=express)
                    number = await self._reserved(writer, group) if group else None
                    wake.clear()
                if number is not None:
                    await self._commit(writer, number, group)
                elif not group and self._closed:
                    return
                elif not group:
                    await wake.wait()
        finally:
            self._wakes.remove(wake)

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        while (arrived := self.queue.oldest()) is not None and not self._closed:
            calls = self.queue.calls + self._committing
            pause = gathering(self._limits, self.queue.rows, calls, self._small, loop.time() - arrived)
            if pause <= 0:
                return
            self._gathered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._gathered.wait()

    def _take(self, *, express: bool) -> _Group:
        if express:
            return self.queue.take(self._limits.express_rows, whole=True)
        return self.queue.take(self._limits.group_rows)

    async def _reserved(self, writer: GroupWriter, group: _Group) -> int | None:
        try:
            return await writer.reserve()
        except AtlasError as error:
            _fail(group, error)
            return None

    async def _commit(self, writer: GroupWriter, number: int, group: _Group) -> None:
        loop = asyncio.get_running_loop()
        patience = timedelta(seconds=max(entry.item.until for entry in group) - loop.time())
        limit = min(self._limits.transaction, max(patience, LEAST_LIMIT))
        rows = 0
        small = sum(entry.rows for entry in group) < self._limits.gather_rows
        self._committing += len(group)
        self._small += small
        self.rate.began(loop.time())
        try:
            with self._span(group) as span:
                rows = await _committed(writer, number, group, limit, span)
        finally:
            self._committing -= len(group)
            self._small -= small
            self._gathered.set()
            self.rate.ended(loop.time(), rows)

    def _span(self, group: _Group) -> AbstractContextManager[Span]:
        traces = [entry.item.batch.traceparent for entry in group if entry.item.batch.traceparent]
        attributes: dict[str, int] = {
            Attribute.CALLS: len(group),
            Attribute.ROWS: sum(entry.rows for entry in group),
        }
        return self._tracer.start_as_current_span(
            SpanName.INGEST_COMMIT,
            context=parent_of(traces[0] if traces else ""),
            links=links_to(traces[1:]),
            attributes=attributes,
        )


def gathering(limits: Limits, rows: int, calls: int, small: int, waited: float) -> float:
    """Return the seconds for which a group had better wait for more; 0 to commit it now.

    `rows` wait in the queue, `calls` there and in transactions, of which `small` are of small groups; the group's first
    batch has `waited` so many seconds. An idle service does not wait at all, nor does one whose next group is large."""
    if small == 0 or calls < limits.gather_calls or rows >= limits.gather_rows:
        return 0.0
    return max(limits.gather.total_seconds() - waited, 0.0)


async def _committed(writer: GroupWriter, number: int, group: _Group, limit: timedelta, span: Span) -> int:
    # Answers everyone in the group; the rows that were committed, 0 if none were.
    try:
        outcomes = await writer.commit(number, [entry.item.batch for entry in group], limit)
    except AtlasError as error:
        span.set_attribute(Attribute.ERROR_TYPE, error.reason)
        log.warning("a group was not committed", calls=len(group), problem=str(error))
        _fail(group, error)
        return 0
    except BaseException as error:
        log.error("a writer failed", calls=len(group), problem=repr(error))
        _fail(group, Unavailable("the writer failed; repeat the call with the same request_id"))
        raise
    for entry, outcome in zip(group, outcomes, strict=True):
        _answer(entry, outcome)
    return sum(entry.rows for entry in group)


def _answer(entry: Entry[_Call], outcome: Written | AtlasError) -> None:
    if isinstance(outcome, AtlasError):
        _fail([entry], outcome)
    elif not entry.item.answered.done():
        entry.item.answered.set_result(outcome)


def _fail(group: _Group, error: AtlasError) -> None:
    for entry in group:
        if not entry.item.answered.done():
            entry.item.answered.set_exception(error)


@asynccontextmanager
async def group_commit(opener: Opener, writers: int, limits: Limits, tracer: Tracer) -> AsyncIterator[GroupCommit]:
    """Yield the group commit over `writers` connections. On exit it takes nothing new and commits all that waits."""
    commit = GroupCommit(limits, tracer)
    async with asyncio.TaskGroup() as tasks:
        for number in range(writers):
            express = number == 0 and writers >= EXPRESS_FROM
            tasks.create_task(commit.work(opener, express=express), name=f"writer-{number}")
        try:
            yield commit
        finally:
            commit.close()
