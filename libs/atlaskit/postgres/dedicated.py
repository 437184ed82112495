"""One connection of one's own: for what must stay on one server session, such as a lock held by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import asyncpg

from atlaskit.errors import AtlasError
from atlaskit.postgres.errors import translated
from atlaskit.postgres.pool import CONNECT_LIMIT, Row, Session

# The server ends a session that is silent for so long: the locks of a client that hangs or was cut off come free.
IDLE_LIMIT = timedelta(seconds=10)
_CLOSE_LIMIT = timedelta(seconds=1)


class DedicatedSession(Session):
    """A session that counts the warnings of the server: a commit with one may not be what it says."""

    def __init__(self, connection: asyncpg.Connection[Row]) -> None:
        super().__init__(connection)
        self.warnings = 0
        connection.add_log_listener(self._warned)

    def _warned(self, _connection: object, _message: object) -> None:
        # The driver calls this before it wakes the one who waits for the statement.
        self.warnings += 1


@asynccontextmanager
async def open_session(
    dsn: str, application_name: str, *, connect_limit: timedelta = CONNECT_LIMIT
) -> AsyncIterator[DedicatedSession]:
    """Yield a session on a connection of its own; when the block raises, the connection is cut, never waited for.

    Statements run with the server's own defaults, so that what is read of its settings is what it gives to others.
    Raises Unavailable when the server is away, DeadlinePassed when it does not answer within `connect_limit`."""
    settings = {
        "application_name": application_name,
        "client_min_messages": "warning",
        "idle_session_timeout": str(int(IDLE_LIMIT.total_seconds() * 1000)),
        "timezone": "UTC",
        "jit": "off",
    }
    with translated("connecting"):
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            dsn, timeout=connect_limit.total_seconds(), server_settings=settings
        )
    try:
        yield DedicatedSession(connection)
    except BaseException:
        connection.terminate()
        raise
    with suppress(AtlasError), translated("closing"):
        async with asyncio.timeout(_CLOSE_LIMIT.total_seconds()):
            await connection.close()
