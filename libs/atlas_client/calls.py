"""One call, repeated where that is safe and within the time its caller gave it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from grpc import StatusCode, aio

from atlas_client.budget import RetryBudget
from atlas_client.errors import CallFailed

Answer = TypeVar("Answer")

MAX_ATTEMPTS = 8
FIRST_PAUSE = 0.05  # seconds; doubles with each attempt
LONGEST_PAUSE = 2.0


def pause_before_retry(failure: CallFailed, attempt: int, remaining: float, jitter: float) -> float | None:
    """Return the seconds to wait before the next attempt, or None if there must not be one.

    Repeated is what a service called UNAVAILABLE, what it was too full for and said when to come again, and what
    reached it in the instant it stopped, which gRPC calls CANCELLED (what the caller cancels does not come here).
    `attempt` counts from 1; `jitter`, 0 to 1, is the share taken of the pause; what the service asked for is the least.
    """
    asked = failure.retry_after.total_seconds() if failure.retry_after is not None else None
    repeatable = failure.code in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED} or (
        failure.code is StatusCode.RESOURCE_EXHAUSTED and asked is not None
    )
    pause = (asked or 0.0) + jitter * min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
    return pause if repeatable and attempt < MAX_ATTEMPTS and pause < remaining else None


class Deadline:
    """The end of a call with all its attempts."""

    def __init__(self, span: timedelta) -> None:
        self._at = time.monotonic() + span.total_seconds()

    def remaining(self) -> float:
        """Return the seconds that are left, 0 when there are none."""
        return max(self._at - time.monotonic(), 0.0)


async def pause(failure: CallFailed, attempt: int, deadline: Deadline, budget: RetryBudget) -> None:
    """Wait until the next attempt may be made. Raises the failure if there must not be one."""
    seconds = pause_before_retry(failure, attempt, deadline.remaining(), random.random())
    if seconds is None or not budget.take():
        raise failure
    await asyncio.sleep(seconds)


async def call(method: Callable[..., Any], request: Any, deadline: Deadline, budget: RetryBudget) -> Any:
    """Return the answer to a request whose repetition is safe. Raises CallFailed, also when the budget is used up.

    Each attempt sends the very same request, so a request_id stays what it was.
    """
    attempt = 1
    budget.called()
    while True:
        try:
            return await method(request, timeout=deadline.remaining())
        except aio.AioRpcError as error:
            await pause(CallFailed.of(error), attempt, deadline, budget)
        attempt += 1
