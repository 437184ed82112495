"""Loops that never end: a store that is down makes them try again, with patience, and say so once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import NoReturn

import structlog
from atlaskit.errors import AtlasError

FIRST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=2)

log = structlog.get_logger(__name__)


async def kept_up(name: str, attempt: Callable[[], Awaitable[object]], failed: Callable[[str], None]) -> NoReturn:
    """Run the attempt again and again; after an error of Atlas pause, longer each time, up to 2 s, with jitter.

    `failed` is told each error. An attempt that lasted longer than the longest pause begins the pauses anew. Any other
    error is a fault of the program and ends the task.
    """
    loop, pause, said = asyncio.get_running_loop(), FIRST_PAUSE, ""
    while True:
        begun = loop.time()
        try:
            await attempt()
            said, pause = "", FIRST_PAUSE
        except AtlasError as error:
            failed(str(error))
            if error.reason != said:  # the text may differ each time, and says the same
                log.warning("trying again", loop=name, reason=error.reason, problem=str(error))
                said = error.reason
        if loop.time() - begun > LONGEST_PAUSE.total_seconds():
            pause = FIRST_PAUSE
        await asyncio.sleep(pause.total_seconds() * random.uniform(0.5, 1.0))
        pause = min(pause * 2, LONGEST_PAUSE)


async def ticks(interval: timedelta) -> AsyncIterator[None]:
    """Give a tick now and then one an interval, strictly one after another: a late one moves those after it."""
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        yield
        await asyncio.sleep(max(begun + interval.total_seconds() - loop.time(), 0.0))
