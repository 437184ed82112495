"""The newest reading of the lag monitor, in instants of this process's clock."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta

from atlaskit.clock import BootInstant, Clock, SuspendWatch
from atlaskit.errors import Overloaded
from atlaskit.freshness.progress import Observation, Progress
from atlaskit.freshness.reading import Known, Reading, known_from
from atlaskit.model import Source
from atlaskit.position import Lsn
from atlaskit.rpc.deadline import Deadline

# Questions that may be unanswered. An answer to an older one proves nothing, which is what its age would say anyway.
MAX_OPEN_QUESTIONS = 256
MAX_WAITERS = 1024  # reads that wait for the next reading, all of them woken by it
RETRY_AFTER = timedelta(milliseconds=200)


class LagBoard:
    """Keeps the newest proven reading; older than `limit` since its question was sent, it is unknown."""

    def __init__(self, clock: Clock, limit: timedelta, most: int = MAX_WAITERS) -> None:
        self._clock = clock
        self._limit = limit
        self._suspend = SuspendWatch(clock)
        self._asked: OrderedDict[int, BootInstant] = OrderedDict()
        self._nonce = 0
        self._known: Known | None = None
        self._next = asyncio.Event()
        self._most = most
        self._waiting = 0
        self._progress = {source: Progress() for source in Source}

    def known(self) -> Known | None:
        """Return what is known now, or None: nothing is, so nothing can be proven."""
        self._drop_after_suspend()
        known = self._known
        return known if known is not None and known.usable(self._clock.boot(), self._limit) else None

    def question(self) -> int:
        """Return the next nonce; it counts as sent at this instant. Numbers are never used again, on any stream."""
        self._drop_after_suspend()
        self._nonce += 1
        self._asked[self._nonce] = self._clock.boot()
        if len(self._asked) > MAX_OPEN_QUESTIONS:
            self._asked.popitem(last=False)
        return self._nonce

    async def answer(self, nonce: int, reading: Reading) -> bool:
        """Take a reading that echoes this nonce. One to a question that was not asked proves no age: it is dropped."""
        self._drop_after_suspend()
        question = self._asked.get(nonce)
        if question is None:
            return False
        for older in [number for number in self._asked if number < nonce]:
            del self._asked[older]
        self._take(known_from(reading, question), reading)
        self._next.set()
        self._next = asyncio.Event()
        return True

    def forget(self) -> None:
        """Drop everything that is known, and all open questions."""
        self._known = None
        self._asked.clear()

    async def next_reading(self, until: Deadline) -> bool:
        """Return True once a reading has come that was not there before this call, or False when the time is over.

        Raises Overloaded when as many wait as may.
        """
        if self._waiting >= self._most:
            raise Overloaded("the number of reads that wait for a reading", RETRY_AFTER, "READING_WAITERS_FULL")
        self._waiting += 1
        try:
            async with asyncio.timeout(until.remaining().total_seconds()):
                await self._next.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def progress(self, source: Source) -> Progress:
        """Return how the copy came along lately, by what was polled: for estimates, never for a claim."""
        return self._progress[source]

    def _take(self, known: Known, reading: Reading) -> None:
        if self._known is None or (self._known.identity, self._known.epoch) != (known.identity, known.epoch):
            for progress in self._progress.values():
                progress.forget()
        self._known = known
        newest = reading.fences[0].lsn if reading.fences else None
        for source, copy in reading.copies.items():
            behind = copy.lag_bytes
            at = None if newest is None or behind is None else Lsn(max(newest.bytes - behind, 0))
            self._progress[source].saw(Observation(known.asked, at, copy.lag))

    def _drop_after_suspend(self) -> None:
        if self._suspend.drifted():
            self.forget()
