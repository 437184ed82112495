"""Group commit: what arrives while every connection is busy shares the next transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, suppress
from datetime import timedelta

import structlog
from atlaskit.batch import WriteBatch, Written
from atlaskit.errors import AtlasError, Overloaded, Unavailable
from atlaskit.telemetry.carrier import links_to, parent_of
from atlaskit.telemetry.names import Attribute, SpanName
from opentelemetry.trace import Span, Tracer

from atlas_ingest.admission import check_queue
from atlas_ingest.drain_rate import DrainRate
from atlas_ingest.fair_queue import Entry, FairQueue
from atlas_ingest.gathering import Crowd, Limits, gathering, holding
from atlas_ingest.groups import AtOnce, Call, Group, GroupWriter, committed, fail
from atlas_ingest.metrics import IngestMetrics

log = structlog.get_logger(__name__)
FIRST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=2)
LEAST_LIMIT = timedelta(milliseconds=1)
TELL_AFTER = 0.9  # share of a caller's patience
EXPRESS_FROM = 3  # writers, of which one is for small groups


Opener = Callable[[], AbstractAsyncContextManager[GroupWriter]]


class GroupCommit:
    """Takes batches, and answers each once the transaction that it shares is committed.

    `queue` and `rate` are what admission looks at: what waits, and how fast that drains."""

    def __init__(self, limits: Limits, tracer: Tracer, metrics: IngestMetrics) -> None:
        self._limits = limits
        self._tracer, self._metrics = tracer, metrics
        self.queue: FairQueue[Call] = FairQueue(limits.queue)
        self.rate = DrainRate()
        self._wakes: list[asyncio.Event] = []
        self._gathered = asyncio.Event()
        self._turn = asyncio.Lock()
        self._unnumbered: set[int] = set()  # tenants of the groups whose number is not taken yet
        self._arrivals: deque[float] = deque(maxlen=limits.gather_calls)
        self._connected = self._committing = self._small = self._large = 0
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
        call = Call(batch, now + limit.total_seconds(), loop.create_future())
        entry = Entry(tenant, rows, batch.size_bytes, now, call)
        self.queue.push(entry)
        self._arrivals.append(now)
        if self.queue.rows >= self._limits.gather_rows or self.queue.calls == self._limits.gather_calls:
            self._gathered.set()
        self._wake()
        try:
            return await self._answer(entry)
        finally:
            self.queue.drop(entry)
            call.answered.cancel()  # no effect once it is answered

    async def _answer(self, entry: Entry[Call]) -> Written:
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
            fail(group, error)

    async def _serve(self, writer: GroupWriter, *, express: bool) -> None:
        wake = asyncio.Event()
        self._wakes.append(wake)
        try:
            while writer.usable:
                # One writer at a time takes a group and its number, so that numbers follow the order of arrival. Who
                # commits a group at once has its number later: its tenants' next batches wait until then.
                async with self._turn:
                    await self._gather()
                    hold = 0.0 if express else self._hold()
                    group = self._take(small=express or hold > 0)
                    way = await self._way(writer, group)
                    wake.clear()
                if way is not None:
                    await self._commit(writer, way, group)
                elif not group and self._closed and not self._unnumbered:
                    return
                elif not group:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(hold or None):
                            await wake.wait()
        finally:
            self._wakes.remove(wake)

    async def _way(self, writer: GroupWriter, group: Group) -> int | AtOnce | None:
        # None: there is no group, or none any more.
        if not group:
            return None
        if (
            sum(entry.rows for entry in group) <= self._limits.express_rows
            and self._limit(group) >= self._limits.at_once
        ):
            at_once = writer.at_once([entry.item.batch for entry in group])
            if at_once is not None:
                return at_once
        try:
            return await writer.reserve()
        except AtlasError as error:
            fail(group, error)
            return None

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        while (arrived := self.queue.oldest()) is not None and not self._closed:
            pause = gathering(self._limits, self._crowd(), loop.time() - arrived)
            if pause <= 0:
                return
            self._gathered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._gathered.wait()

    def _crowd(self) -> Crowd:
        arrivals, most = self._arrivals, self._limits.gather_calls
        busy = len(arrivals) == most and arrivals[-1] - arrivals[0] <= self._limits.busy.total_seconds()
        return Crowd(self.queue.rows, self.queue.calls, self._committing, self._small, busy)

    def _hold(self) -> float:
        arrived = self.queue.oldest()
        if arrived is None or not self._large or self._closed:
            return 0.0
        return holding(self._limits, self.queue.rows, asyncio.get_running_loop().time() - arrived)

    def _take(self, *, small: bool) -> Group:
        if small:
            return self.queue.take(self._limits.express_rows, whole=True, without=self._unnumbered)
        return self.queue.take(self._limits.group_rows, without=self._unnumbered)

    def _limit(self, group: Group) -> timedelta:
        patience = timedelta(seconds=max(entry.item.until for entry in group) - asyncio.get_running_loop().time())
        return min(self._limits.transaction, max(patience, LEAST_LIMIT))

    async def _commit(self, writer: GroupWriter, way: int | AtOnce, group: Group) -> None:
        # Nothing is awaited before its tenants are marked: no other writer comes in between.
        loop = asyncio.get_running_loop()
        rows, begun = 0, loop.time()
        total = sum(entry.rows for entry in group)
        small, large = total < self._limits.gather_rows, total > self._limits.express_rows
        unnumbered = set() if isinstance(way, int) else {entry.tenant for entry in group}
        self._unnumbered |= unnumbered
        self._committing += len(group)
        self._small += small
        self._large += large
        self.rate.began(begun)
        try:
            with self._span(group) as span:
                rows = await committed(writer, way, group, self._limit(group), span)
        finally:
            self._unnumbered -= unnumbered
            self._committing -= len(group)
            self._small -= small
            self._large -= large
            self._gathered.set()
            self.rate.ended(loop.time(), rows)
            self._metrics.committed(loop.time() - begun, rows)
            if unnumbered or large:
                self._wake()

    def _span(self, group: Group) -> AbstractContextManager[Span]:
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


@asynccontextmanager
async def group_commit(
    opener: Opener, writers: int, limits: Limits, tracer: Tracer, metrics: IngestMetrics | None = None
) -> AsyncIterator[GroupCommit]:
    """Yield the group commit over `writers` connections. On exit it takes nothing new and commits all that waits."""
    commit = GroupCommit(limits, tracer, metrics or IngestMetrics())
    async with asyncio.TaskGroup() as tasks:
        for number in range(writers):
            express = number == 0 and writers >= EXPRESS_FROM
            tasks.create_task(commit.work(opener, express=express), name=f"writer-{number}")
        try:
            yield commit
        finally:
            commit.close()
