"""Connections over one way: when one of them is lost, the others are not to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from atlaskit.errors import Unavailable


class FateSharing:
    """What is done on connections to one server.

    A way that is cut swallows answers, and whoever waits for one hears nothing until a limit of its own, which is long
    where a commit waits for standbys. The connection with the shortest limit notices first; once it is made anew, the
    others are made anew as well.
    """

    def __init__(self) -> None:
        self._begun: dict[asyncio.Timeout, float] = {}

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Share the fate for the block. Raises Unavailable when it ends; what was under way may have been done."""
        timer = asyncio.timeout(None)
        self._begun[timer] = asyncio.get_running_loop().time()
        try:
            async with timer:
                yield
        except TimeoutError as error:
            if timer.expired():
                raise Unavailable("another connection to the server was lost and made anew") from error
            raise
        finally:
            self._begun.pop(timer, None)

    def end(self, before: float) -> None:
        """End all that began before this instant of the loop: a connection that was begun then is open now."""
        now = asyncio.get_running_loop().time()
        for timer, begun in list(self._begun.items()):
            if begun < before:
                del self._begun[timer]
                timer.reschedule(now)
