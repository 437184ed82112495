"""Doing something again until it succeeds: what a sink does while a store is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from atlaskit.errors import AtlasError

T = TypeVar("T")
log = structlog.get_logger(__name__)

FIRST_WAIT = 0.1  # seconds
LONGEST_WAIT = 5.0


class Stopping(Exception):
    """The service was told to stop while something had to be tried again: leave it undone."""


async def persist(what: str, action: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
    """Return what `action` returns, trying again with growing, jittered pauses of at most 5 s while it fails.

    Every failure is logged. Raises Stopping if `stop` is set when it has failed. Errors that are not AtlasError are
    faults of this program and are raised.
    """
    attempt = 0
    while True:
        try:
            done = await action()
        except AtlasError as error:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0)
            attempt += 1
            log.warning(
                f"{what} failed", problem=str(error), reason=error.reason, attempt=attempt, wait_seconds=round(wait, 2)
            )
            await _pause(stop, wait)
            if stop.is_set():
                raise Stopping(what) from error
        else:
            if attempt:
                log.info(f"{what} succeeded", attempts=attempt + 1)
            return done


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
