"""What keeps the parts of a stack up: one that ended though nobody asked it to is started again, ever less often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

from atlaskit.restarts import Past

from atlas_local.errors import PartFailed
from atlas_local.process import ChildProcess, until

_EVERY = 0.5  # seconds between two looks


async def revive(part: ChildProcess, say: Callable[[str], None]) -> NoReturn:
    """Start a part again whenever it has fallen, and say so; cancelled by who no longer wants it."""
    past = Past()
    while True:
        await until(lambda: part.fallen, every=_EVERY)
        past = past.running(time.monotonic())
        last = part.log_tail(1)[-200:]
        await asyncio.sleep(past.pause(time.monotonic()))
        if part.fallen:
            past = past.restarted(time.monotonic())
            say(f"{part.name} ended by itself and is started again; it said last: {last}")
            try:
                await part.start()
            except PartFailed as failed:
                say(str(failed))
            else:
                say(f"{part.name} is up again")


@asynccontextmanager
async def revived(parts: Sequence[ChildProcess], say: Callable[[str], None] | None) -> AsyncIterator[None]:
    """Keep these parts up while the context is open. `say` is told what was done; None: nothing is done.

    A start that is under way when the context closes is given up: its part is down then."""
    watching = [asyncio.create_task(revive(part, say), name=f"revive-{part.name}") for part in parts if say]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
