"""A bounded pool of connections to ClickHouse over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver import httputil

from atlaskit.clickhouse.errors import translated
from atlaskit.clickhouse.stopping import Query, Stopping
from atlaskit.clickhouse.tenancy import Tenancy
from atlaskit.errors import ConfigurationWrong, DeadlinePassed, Overloaded

T = TypeVar("T")
Row = tuple[Any, ...]

CALL_LIMIT = timedelta(seconds=30)
CONNECT_LIMIT = timedelta(seconds=5)
_RETRY_AFTER = timedelta(milliseconds=50)


class ClickHouse:
    """One server and database.

    Each call takes at most `limit`; then it raises DeadlinePassed and the server stops the statement. Calls run on
    threads, as many at a time as there are connections; a bounded number waits and one more raises Overloaded.
    Raises the errors of `atlaskit.clickhouse.errors`. Cancelled, a query is stopped at the server by a statement of its
    own; it may have ended by then. `settings` go with every query, such as limits on what it reads and holds, and so
    do the tenants that it is for, where `tenancy` has a setting for them.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        connections: int,
        waiting: int,
        settings: Mapping[str, Any] | None = None,
        tenancy: Tenancy | None = None,
    ) -> None:
        self._connect = connect
        self._tenancy = tenancy or Tenancy("")
        self._settings = dict(settings or {})
        self._client: Any = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="clickhouse")
        self._stopping = Stopping(connections)
        self._most = connections + waiting
        self._in_flight = 0
        self._column_types: dict[str, dict[str, Any]] = {}

    async def rows(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit: timedelta = CALL_LIMIT,
        settings: Mapping[str, Any] | None = None,
        as_bytes: Sequence[str] = (),
    ) -> list[Row]:
        """Return the rows of a query. `{name:Type}` is a parameter; String columns in `as_bytes` come undecoded."""

        def call(client: Any) -> list[Row]:
            result = client.query(
                sql,
                parameters=dict(parameters or {}),
                settings={**fixed, **(settings or {}), **_limit_setting(limit), **query.settings},
                column_formats=dict.fromkeys(as_bytes, "bytes"),
            )
            return list(result.result_rows)

        query, fixed = Query(), {**self._settings, **self._tenancy.settings()}
        try:
            return await self.run("reading from ClickHouse", query.unless_stopped(call), limit)
        except asyncio.CancelledError:
            if query.stop():
                self._stopping.ask(self._connected, query)
            raise

    async def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, limit: timedelta = CALL_LIMIT
    ) -> None:
        """Run a statement that returns no rows."""

        def call(client: Any) -> None:
            client.command(sql, parameters=dict(parameters or {}), settings=_limit_setting(limit))

        await self.run("executing in ClickHouse", call, limit)

    async def run(self, doing: str, call: Callable[[Any], T], limit: timedelta) -> T:
        """Call with the driver's client on a thread of the pool; for this package, which knows the driver."""
        if self._in_flight >= self._most:
            raise Overloaded("the pool of ClickHouse connections", _RETRY_AFTER)
        self._in_flight += 1
        started = asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, doing, call)
        started.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await asyncio.shield(started)
        except TimeoutError:
            raise DeadlinePassed(f"{doing}: no answer within {limit.total_seconds():.3f} s") from None

    async def column_types(self, table: str, limit: timedelta = CALL_LIMIT) -> Mapping[str, Any]:
        """Return the driver's type of each column of a table, asked once."""
        if table not in self._column_types:

            def call(client: Any) -> dict[str, Any]:
                context = client.create_insert_context(table)
                return dict(zip(context.column_names, context.column_types, strict=True))

            self._column_types[table] = await self.run(f"describing {table}", call, limit)
        return self._column_types[table]

    async def close(self) -> None:
        """Let running calls end and close the connections."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._stopping.close)
        if self._client is not None:
            self._client.close()

    def _ended(self, call: asyncio.Future[Any]) -> None:
        self._in_flight -= 1
        if not call.cancelled():
            call.exception()  # whoever waited has gone; the error is not news to anyone

    def _guarded(self, doing: str, call: Callable[[Any], T]) -> T:
        with translated(doing):
            return call(self._connected())

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client


@asynccontextmanager
async def open_clickhouse(
    url: str,
    *,
    connections: int = 8,
    waiting: int = 64,
    call_limit: timedelta = CALL_LIMIT,
    settings: Mapping[str, Any] | None = None,
    tenants_setting: str = "",
) -> AsyncIterator[ClickHouse]:
    """Yield the server and database of a URL: `http://user:password@host:port/database`, `https` or `clickhouse+http`.

    It opens even when the server is away; the first call tells then. No answer is waited for longer than `call_limit`.
    `settings` are ClickHouse's, for every query; `tenants_setting` is that in which a query names tenants, if any.
    Raises ConfigurationWrong for another kind of URL.
    """
    arguments = client_arguments(url)

    def connect() -> Any:
        return clickhouse_connect.get_client(
            **arguments,
            pool_mgr=httputil.get_pool_manager(maxsize=connections, num_pools=2),
            autogenerate_session_id=False,  # a session serialises its calls
            connect_timeout=CONNECT_LIMIT.total_seconds(),
            send_receive_timeout=call_limit.total_seconds(),
            query_retries=1,  # a kept connection may have been closed meanwhile
            compress="lz4",
            tz_mode="aware",
        )

    clickhouse = ClickHouse(connect, connections, waiting, settings, Tenancy(tenants_setting))
    try:
        yield clickhouse
    finally:
        await clickhouse.close()


def client_arguments(url: str) -> dict[str, Any]:
    """Return the driver's arguments for a URL. Raises ConfigurationWrong."""
    parts = urlsplit(url.removeprefix("clickhouse+"))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationWrong("the URL of ClickHouse must be http://user:password@host:port/database")
    return {
        "interface": parts.scheme,
        "host": parts.hostname,
        "port": parts.port or (8443 if parts.scheme == "https" else 8123),
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "database": parts.path.strip("/") or "default",
    }


def _limit_setting(limit: timedelta) -> dict[str, Any]:
    # Zero would mean no limit at all.
    return {"max_execution_time": max(limit.total_seconds(), 0.001)}
