"""Waits of which the first that is over counts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any


async def first_true(waits: Sequence[Coroutine[Any, Any, bool]]) -> bool:
    """Return True with the first of the waits that does, and end the others; False once all have ended with False.

    Raises what a wait raises; cancelled, or when one raises, no wait goes on.
    """
    if len(waits) == 1:
        return await waits[0]
    running = {asyncio.ensure_future(wait) for wait in waits}
    try:
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            ended = [task.result() for task in done]
            if any(ended):
                return True
        return False
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
