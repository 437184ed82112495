"""The newest reading of the lag monitor, in instants of this process's clock."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta

from atlaskit.clock import BootInstant, Clock, SuspendWatch
from atlaskit.freshness.reading import Known, Reading, known_from
from atlaskit.rpc.deadline import Deadline

# Questions that may be unanswered. An answer to an older one proves nothing, which is what its age would say anyway.
MAX_OPEN_QUESTIONS = 256


class LagBoard:
    """Keeps the newest proven reading; older than `limit` since its question was sent, it is unknown."""

    def __init__(self, clock: Clock, limit: timedelta) -> None:
        self._clock = clock
        self._limit = limit
        self._suspend = SuspendWatch(clock)
        self._asked: OrderedDict[int, BootInstant] = OrderedDict()
        self._nonce = 0
        self._known: Known | None = None
        self._version = 0
        self._changed = asyncio.Condition()

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
        async with self._changed:
            self._known = known_from(reading, question)
            self._version += 1
            self._changed.notify_all()
        return True

    def forget(self) -> None:
        """Drop everything that is known, and all open questions."""
        self._known = None
        self._asked.clear()

    async def next_reading(self, until: Deadline) -> bool:
        """Return True once a reading has come that was not there before this call, or False when the time is over."""
        seen = self._version
        try:
            async with asyncio.timeout(until.remaining().total_seconds()), self._changed:
                await self._changed.wait_for(lambda: self._version > seen)
        except TimeoutError:
            return False
        return True

    def _drop_after_suspend(self) -> None:
        if self._suspend.drifted():
            self.forget()
