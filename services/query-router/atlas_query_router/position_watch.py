"""Reads that wait for a copy to reach a position: one look for all, and each is woken when its own is reached."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn, TypeAlias

import structlog
from atlaskit.errors import AtlasError, Overloaded
from atlaskit.freshness.proofs import Proof, covers, survives
from atlaskit.position import Lsn, Token
from atlaskit.rpc.deadline import Deadline

Shards: TypeAlias = tuple[int, ...]
# What a read of these shards would be proven to cover now. Only a hint on when to read: the read is what proves.
Reached: TypeAlias = Callable[[Shards], Proof | None]

LONGEST_PAUSE = timedelta(seconds=1)
RETRY_AFTER = timedelta(milliseconds=200)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Waiter:
    """One who waits. Among those of the same shards the order is that of positions; the number tells equals apart."""

    epoch: int
    lsn: Lsn
    number: int
    woken: asyncio.Event = field(default_factory=asyncio.Event, compare=False, repr=False)

    def concerned(self, proof: Proof) -> bool:
        """Tell whether there is something to read: the token is covered, or is lost, which the read will say."""
        token = Token(self.epoch, self.lsn)
        return covers(proof, token) or not survives(token, proof.epoch, proof.ancestors)


class Waiters:
    """Those who wait, by shards and in order of position; at most `most` in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._numbers = 0
        self._queues: dict[Shards, list[Waiter]] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, shards: Shards, token: Token) -> Waiter:
        """Return a new waiter. Raises Overloaded when there are as many as there may be."""
        if self._count >= self._most:
            raise Overloaded("the number of reads that wait for a position", RETRY_AFTER, "POSITION_WAITERS_FULL")
        self._numbers += 1
        waiter = Waiter(token.epoch, token.lsn, self._numbers)
        insort(self._queues.setdefault(shards, []), waiter)
        self._count += 1
        return waiter

    def remove(self, shards: Shards, waiter: Waiter) -> None:
        """Forget a waiter. One that was woken is gone already: then nothing happens."""
        queue = self._queues.get(shards, [])
        at = bisect_left(queue, waiter)
        if at < len(queue) and queue[at] is waiter:
            self._cut(shards, at, at + 1)

    def shards(self) -> tuple[Shards, ...]:
        """Return for which shards somebody waits."""
        return tuple(self._queues)

    def wake(self, reached: Reached) -> None:
        """Wake those whose position is reached; positions rise along a queue, so the first that is not ends it."""
        for shards in self.shards():
            proof = reached(shards)
            if proof is None:
                continue
            queue, count = self._queues[shards], 0
            while count < len(queue) and queue[count].concerned(proof):
                queue[count].woken.set()
                count += 1
            self._cut(shards, 0, count)

    def _cut(self, shards: Shards, start: int, end: int) -> None:
        queue = self._queues[shards]
        del queue[start:end]
        self._count -= end - start
        if not queue:
            del self._queues[shards]


class PositionWatch:
    """Looks at one copy every `interval` while somebody waits for it, and not at all while nobody does.

    A look takes at most `limit`; while looks fail, they are made less often and the waiters go on waiting. Run `run` as
    a task for as long as there are calls.
    """

    def __init__(
        self, look: Callable[[timedelta], Awaitable[Reached]], *, interval: timedelta, limit: timedelta, most: int
    ) -> None:
        self._look = look
        self._interval = interval
        self._limit = limit
        self._waiters = Waiters(most)
        self._someone = asyncio.Event()
        # A few dozen of each at most: a tenant's shards follow from its number and its spread.
        self._looks: Counter[Shards] = Counter()
        self._furthest: dict[Shards, Proof] = {}

    def looks(self, shards: Shards) -> int:
        """Return how many looks told how far the copy was with these shards: a greater number means a new one did."""
        return self._looks[shards]

    def saw(self, shards: Shards, proof: Proof) -> None:
        """Take note of what an answer or a look was proven to cover."""
        known = self._furthest.get(shards)
        if (
            known is None
            or proof.lsn is None
            or known.lsn is None
            or known.epoch != proof.epoch
            or proof.lsn > known.lsn
        ):
            self._furthest[shards] = proof

    def seems_to_cover(self, shards: Shards, token: Token) -> bool:
        """Tell whether the copy was seen to cover the token before: then a read is worth it at once."""
        known = self._furthest.get(shards)
        return known is not None and covers(known, token)

    def __len__(self) -> int:
        return len(self._waiters)

    async def reached(self, shards: Shards, token: Token, until: Deadline) -> bool:
        """Wait until the copy seems to cover the token or to have lost it; False when the time is over.

        Cancelled, it leaves nothing behind. Raises Overloaded when too many wait.
        """
        waiter = self._waiters.add(shards, token)
        self._someone.set()
        try:
            async with asyncio.timeout(until.remaining().total_seconds()):
                await waiter.woken.wait()
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(shards, waiter)
        return True

    async def run(self) -> NoReturn:
        """Look while somebody waits, until cancelled."""
        loop, pause = asyncio.get_running_loop(), self._interval
        while True:
            if not self._waiters:
                self._someone.clear()
            await self._someone.wait()
            begun = loop.time()
            try:
                reached = await self._look(self._limit)
                for shards in self._waiters.shards():
                    if (proof := reached(shards)) is not None:
                        self.saw(shards, proof)
                        self._looks[shards] += 1
                self._waiters.wake(reached)
                pause = self._interval
            except AtlasError as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                log.debug("a copy that reads wait for could not be looked at", problem=str(error))
            await asyncio.sleep(max(begun + pause.total_seconds() - loop.time(), 0.0))
