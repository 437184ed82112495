"""How many reads of one tenant run at the stores at a time, how many more wait, and what those beyond are told."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from atlaskit.errors import TenantBusy
from atlaskit.rpc.deadline import Deadline

SOONEST: Final = timedelta(milliseconds=50)
LATEST: Final = timedelta(seconds=10)
WEIGHT: Final = 0.1  # of the newest read in the mean duration of its class
FIRST_MEAN: Final = 0.05  # seconds, until there is a read to go by
# Of the time that is left, what waiting for a place may take: the read itself needs some.
PATIENCE: Final = 0.8


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Reads of one tenant and class: `running` at a time, `waiting` more in a line."""

    running: int
    waiting: int


@dataclass(slots=True)
class _Line:
    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class TenantGate:
    """Gives places to the reads of each tenant within the limits of each class, first come, first served.

    What it holds is bounded by the reads that are there: a tenant without any is forgotten.
    """

    def __init__(self, limits: Mapping[str, TenantLimits]) -> None:
        self._limits = limits
        self._means = dict.fromkeys(limits, FIRST_MEAN)
        self._lines: dict[tuple[str, int], _Line] = {}

    @asynccontextmanager
    async def place(self, kind: str, tenant_id: int, deadline: Deadline) -> AsyncIterator[None]:
        """Hold a place for one read of a class. Raises TenantBusy: the line is full, or did not move in time.

        Cancelled while it waits, it leaves the line.
        """
        key, limits = (kind, tenant_id), self._limits[kind]
        line = self._lines.setdefault(key, _Line())
        if line.running < limits.running:
            line.running += 1
        elif len(line.waiting) < limits.waiting:
            await self._wait(key, line, deadline)
        else:
            raise self._busy(key, line)
        began = time.monotonic()
        try:
            yield
        finally:
            self._means[kind] += WEIGHT * (time.monotonic() - began - self._means[kind])
            self._leave(key, line)

    async def _wait(self, key: tuple[str, int], line: _Line, deadline: Deadline) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(mine)
        try:
            async with asyncio.timeout(deadline.remaining().total_seconds() * PATIENCE):
                await mine
        except BaseException as ended:
            if mine.done() and not mine.cancelled():
                self._leave(key, line)  # the place came in the instant that its reader left
            else:
                line.waiting.remove(mine)
                self._close_if_empty(key, line)
            if isinstance(ended, TimeoutError):
                raise self._busy(key, line) from None
            raise

    def _leave(self, key: tuple[str, int], line: _Line) -> None:
        """Hand the place to the first in the line; the place of the last one closes the line."""
        for waiting in line.waiting:
            if not waiting.done():
                line.waiting.remove(waiting)
                waiting.set_result(None)
                return
        line.running -= 1
        self._close_if_empty(key, line)

    def _close_if_empty(self, key: tuple[str, int], line: _Line) -> None:
        if not line.running and not line.waiting:
            del self._lines[key]

    def _busy(self, key: tuple[str, int], line: _Line) -> TenantBusy:
        kind, tenant_id = key
        likely = timedelta(seconds=self._means[kind] * (len(line.waiting) + 1) / self._limits[kind].running)
        return TenantBusy(kind, tenant_id, min(max(likely, SOONEST), LATEST))
