"""What goes on over connections of before ends once a newer one is open, and nothing else does."""

from __future__ import annotations

import asyncio

import pytest
from atlas_lag_monitor.fate_sharing import FateSharing
from atlaskit.errors import Unavailable


async def started(fate: FateSharing) -> asyncio.Task[None]:
    begun = asyncio.Event()

    async def wait() -> None:
        async with fate.shared():
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await begun.wait()
    return task


def later() -> float:
    return asyncio.get_running_loop().time() + 1.0


async def test_what_began_before_ends_and_says_why() -> None:
    fate = FateSharing()
    tasks = [await started(fate), await started(fate)]
    fate.end(later())
    fate.end(later())
    for task in tasks:
        with pytest.raises(Unavailable, match="lost and made anew"):
            await task


async def test_what_began_since_goes_on_and_what_is_over_is_left_alone() -> None:
    fate = FateSharing()
    opened = asyncio.get_running_loop().time()
    async with fate.shared():
        fate.end(opened)
        await asyncio.sleep(0)
    fate.end(later())
    await asyncio.sleep(0)


async def test_who_is_cancelled_just_then_is_cancelled() -> None:
    fate = FateSharing()
    task = await started(fate)
    fate.end(later())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_of_its_own_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError):
        async with FateSharing().shared(), asyncio.timeout(0):
            await asyncio.Event().wait()
