"""A bounded pool of connections, lent one at a time as sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import asyncpg

from atlaskit.errors import AtlasError
from atlaskit.postgres.errors import translated

# A row of a result: values by column name or by place.
Row: TypeAlias = asyncpg.Record
Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]

CONNECT_LIMIT = timedelta(seconds=5)
STATEMENT_LIMIT = timedelta(seconds=30)


class Session:
    """One connection while it is lent: statements run on it in order. Values are parameters, never text.

    Each call takes at most `limit` (30 s unless told); then it raises DeadlinePassed and the statement is cancelled at
    the server. Cancelled, likewise. Raises the errors of `atlaskit.postgres.errors`.
    """

    def __init__(self, connection: asyncpg.Connection[Row]) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Any, limit: timedelta = STATEMENT_LIMIT) -> Sequence[Row]:
        """Return all rows of the result."""
        with translated("reading"):
            return await self._connection.fetch(sql, *values, timeout=limit.total_seconds())

    async def row(self, sql: str, *values: Any, limit: timedelta = STATEMENT_LIMIT) -> Row | None:
        """Return the first row, or None if there is none."""
        with translated("reading"):
            return await self._connection.fetchrow(sql, *values, timeout=limit.total_seconds())

    async def value(self, sql: str, *values: Any, limit: timedelta = STATEMENT_LIMIT) -> Any:
        """Return the first value of the first row, or None if there is none."""
        with translated("reading"):
            return await self._connection.fetchval(sql, *values, timeout=limit.total_seconds())

    async def execute(self, sql: str, *values: Any, limit: timedelta = STATEMENT_LIMIT) -> str:
        """Run the statement and return its command tag, such as `UPDATE 1`."""
        with translated("executing"):
            return await self._connection.execute(sql, *values, timeout=limit.total_seconds())

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation = "read_committed", readonly: bool = False
    ) -> AsyncIterator[None]:
        """Run the block in one transaction: committed at its end, rolled back if it raises or is cancelled."""
        transaction = self._connection.transaction(isolation=isolation, readonly=readonly)
        with translated("beginning a transaction"):
            await transaction.start()
        try:
            yield
        except BaseException:
            # A connection that broke rolls back by itself; the reason it broke is what the caller should see.
            with suppress(AtlasError), translated("rolling back"):
                await transaction.rollback()
            raise
        with translated("committing"):
            await transaction.commit()

    def broken(self) -> bool:
        """Return True once the connection is closed."""
        return self._connection.is_closed()


class Pool:
    """A bounded set of connections to one server."""

    def __init__(self, pool: asyncpg.Pool[Row]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def lease(self, limit: timedelta = CONNECT_LIMIT) -> AsyncIterator[Session]:
        """Lend one connection for the block. Raises DeadlinePassed if none is free within `limit`."""
        with translated("connecting"):
            connection = await self._pool.acquire(timeout=limit.total_seconds())
        try:
            yield Session(connection)  # type: ignore[arg-type]  # the proxy has every method of a connection
        finally:
            with translated("giving a connection back"):
                await self._pool.release(connection)

    async def renew(self) -> None:
        """Lend none of the present connections again; each is closed when it comes back.

        A session survives the promotion of its server, and a name leads elsewhere afterwards: what was opened before
        would be lent for ever."""
        await self._pool.expire_connections()


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    min_size: int = 0,
    max_size: int = 4,
    application_name: str = "atlas",
    statement_limit: timedelta = STATEMENT_LIMIT,
    idle_limit: timedelta = timedelta(minutes=5),
    leaves_nothing: bool = False,
) -> AsyncIterator[Pool]:
    """Yield a pool. With `min_size` 0 it opens even when the server is away; the first lease tells then.

    `statement_limit` bounds each statement at the server too, so that one whose client died ends. `leaves_nothing`: who
    borrows sets and locks for a transaction at most, so a session that comes back need not be reset, which would be one
    more way to the server and back; a transaction left open is rolled back all the same. On exit connections close;
    those still lent after 5 s are cut off.
    """
    settings = {
        "application_name": application_name,
        "statement_timeout": str(int(statement_limit.total_seconds() * 1000)),
        "timezone": "UTC",
        "jit": "off",
    }
    with translated("opening a pool"):
        pool = asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=CONNECT_LIMIT.total_seconds(),
            max_inactive_connection_lifetime=idle_limit.total_seconds(),
            server_settings=settings,
            reset=_nothing if leaves_nothing else None,
        )
        await pool
    try:
        yield Pool(pool)
    finally:
        await _close(pool)


async def _nothing(_: Any) -> None:
    return


async def _close(pool: asyncpg.Pool[Row]) -> None:
    try:
        async with asyncio.timeout(CONNECT_LIMIT.total_seconds()):
            await pool.close()
    except TimeoutError:
        pool.terminate()
