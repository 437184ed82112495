"""Where the driver's errors end: each becomes one of Atlas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from atlaskit.errors import AtlasError, DeadlinePassed, Translated, Unavailable

LIMIT = timedelta(seconds=30)  # of a call that may take several requests


class OffsetLost(AtlasError):
    """Kafka no longer has, or does not have any more, the place that was to be read."""

    reason = "OFFSET_LOST"


def named(error: Exception, doing: str) -> AtlasError | None:
    """Return the error of Atlas for one of the driver, or None if it is none of the driver's."""
    if isinstance(error, OffsetOutOfRangeError):
        return OffsetLost(f"{doing}: {error}")
    if isinstance(error, KafkaError | OSError | TimeoutError):
        return Unavailable(f"{doing}: Kafka is not available ({type(error).__name__}: {error})")
    return None


def translated(doing: str) -> Translated:
    """Raise the driver's errors in the block as those of Atlas; `doing` says in the text what was being done."""
    return Translated(named, doing)


@asynccontextmanager
async def bounded(doing: str, limit: timedelta) -> AsyncIterator[None]:
    """As `translated`, and raise DeadlinePassed after `limit`: some waits of the driver have no end of their own."""
    timer = asyncio.timeout(limit.total_seconds())
    with translated(doing):
        try:
            async with timer:
                yield
        except TimeoutError as error:
            if timer.expired():
                text = f"{doing}: Kafka did not answer within {limit.total_seconds():g} s"
                raise DeadlinePassed(text) from error
            raise


@asynccontextmanager
async def started(driver: Any) -> AsyncIterator[None]:
    """Start a consumer, producer or admin client for the block. Its errors are the driver's: stand within `bounded`."""
    try:
        await driver.start()
        yield
    finally:
        stop = getattr(driver, "stop", None) or driver.close  # an admin client is closed
        await ended(stop())


async def ended(stopping: Awaitable[object]) -> None:
    """Wait until a driver has stopped, and be cancelled if that was asked for meanwhile.

    A driver that stops cancels its own tasks and passes over the CancelledError it then waits for; one that was meant
    for the caller is lost with it, and a loop that should end would go on for ever.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        await stopping
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


async def close(driver: Any, doing: str, limit: timedelta) -> None:
    """Close a consumer or producer of the driver. Raises Unavailable or DeadlinePassed, whatever went wrong."""
    try:
        async with bounded(doing, limit):
            await ended(driver.stop())
    except AtlasError:
        raise
    except Exception as error:  # a task of the driver that died long ago tells of it only now
        raise Unavailable(f"{doing}: {error!r}") from error
