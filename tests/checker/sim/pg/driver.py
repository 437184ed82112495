"""What stands in the place of asyncpg: connections and pools of the process that asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import CoroutineType
from typing import Any, Protocol

from asyncpg import exceptions as pg
from checker.sim.loop import SimulationError
from checker.sim.pg.server import Server, gone
from checker.sim.pg.session import Backend
from checker.sim.process import Process, current


class Record(dict[str, Any]):
    """A row: values by name or by place."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        if key.__class__ is str:
            return dict.__getitem__(self, key)
        return list(self.values())[key]


class Statements(Protocol):
    """What runs a text on a session."""

    def run(self, backend: Backend, text: str, args: tuple[Any, ...]) -> Any: ...

    def copy(self, backend: Backend, table: str, columns: Any, octets: bytes) -> Any: ...


class Connection:
    """One connection. Statements run in order; a lost server breaks it, a silent one does not."""

    def __init__(self, process: Process, server: Server, backend: Backend, statements: Statements) -> None:
        self._process, self._server, self._backend, self._statements = process, server, backend, statements
        self._closed = False
        self._answer: asyncio.Future[Any] | None = None
        self._cancelled: asyncio.Future[Any] | None = None
        self._listeners: list[Callable[[Any, Any], None]] = []
        self._there, self._back = [0.0], [0.0]
        self._death_of_server = server.process.hear_death(self._server_died)
        self._death = process.hear_death(self._client_died)
        self.generation = 0  # of its pool

    # -- asyncpg's methods

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Record]:
        rows: list[Record] = await self._call(self._run, query, args, timeout=timeout)
        return rows

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Record | None:
        rows: list[Record] = await self._call(self._run, query, args, timeout=timeout)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any, timeout: float | None = None) -> Any:
        rows: list[Record] = await self._call(self._run, query, args, timeout=timeout)
        return rows[0][0] if rows else None

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        await self._call(self._run, query, args, timeout=timeout)
        return "OK"

    async def copy_to_table(
        self,
        table: str,
        *,
        source: Any,
        columns: Any,
        format: str,  # noqa: A002 - asyncpg's name
        timeout: float | None = None,
    ) -> str:
        octets = b"".join([piece async for piece in source])
        await self._call(self._copy, table, (columns, octets), timeout=timeout)
        return "COPY"

    def transaction(self, *, isolation: str = "read_committed", readonly: bool = False) -> _Transaction:
        return _Transaction(self, isolation)

    def add_log_listener(self, listener: Callable[[Any, Any], None]) -> None:
        self._listeners.append(listener)

    def is_closed(self) -> bool:
        return self._closed

    def terminate(self) -> None:
        if self._closed or self._process.loop.dead:
            return
        self._break(gone())
        self._tell_server(self._backend.end)

    async def close(self, timeout: float | None = None) -> None:
        self.terminate()

    # -- the way there and back

    async def _call(
        self, action: Callable[..., None], what: str, args: tuple[Any, ...], *, timeout: float | None
    ) -> Any:
        if self._closed:
            raise pg.InterfaceError("connection is closed")
        if self._answer is not None:
            raise pg.InterfaceError("cannot perform operation: another operation is in progress")
        loop = self._process.loop
        if self._cancelled is not None:  # the statement before was cancelled: wait for what becomes of it
            await asyncio.wait_for(asyncio.shield(self._cancelled), timeout)
            if self._closed:
                raise gone()
        answer = self._answer = loop.create_future()
        timer = loop.call_later(timeout, _time_out, answer) if timeout is not None else None
        self._process.world.send(self._process, self._server.process, action, what, args, answer, lane=self._there)
        try:
            return await answer
        except (TimeoutError, asyncio.CancelledError):
            if not self._closed:
                self._cancelled = loop.create_future()
                self._tell_server(self._cancel)
            raise
        finally:
            self._answer = None
            if timer is not None:
                timer.cancel()

    def _run(self, text: str, args: tuple[Any, ...], answer: asyncio.Future[Any]) -> None:
        self._on_server(self._statements.run, answer, text, args)

    def _copy(self, table: str, args: tuple[Any, ...], answer: asyncio.Future[Any]) -> None:
        columns, octets = args
        self._on_server(self._statements.copy, answer, table, columns, octets)

    def _on_server(self, statement: Callable[..., Any], answer: asyncio.Future[Any], *what: Any) -> None:
        backend = self._backend
        if backend.ended:
            return
        try:
            result = statement(backend, *what)
        except SimulationError:
            raise
        except Exception as error:  # noqa: BLE001
            self._reply(answer, None, error)
            return
        if isinstance(result, CoroutineType):
            backend.running = self._server.process.run(self._finish(result, answer), "backend")
        else:
            self._reply(answer, result, None)

    async def _finish(self, running: Any, answer: asyncio.Future[Any]) -> None:
        error: Exception | None = None
        result = None
        try:
            result = await running
        except asyncio.CancelledError:
            if self._backend.ended:
                return
            error = pg.QueryCanceledError("canceling statement due to user request")
        except Exception as failure:  # noqa: BLE001
            error = failure
        self._backend.running = None
        self._reply(answer, result, error)

    def _reply(self, answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        took = self._server.chance.uniform(0.00005, 0.0006) + (self._server.slow_query if result else 0.0)
        warnings, self._backend.warnings = self._backend.warnings, []
        self._process.world.send(
            self._server.process, self._process, self._arrive, answer, result, error, warnings,
            lane=self._back, extra=took,
        )  # fmt: skip

    def _arrive(self, answer: asyncio.Future[Any], result: Any, error: Any, warnings: list[str]) -> None:
        if self._closed:
            return
        for text in warnings:
            for listener in self._listeners:
                listener(self, text)
        if answer.done():
            if self._cancelled is not None and not self._cancelled.done():
                self._cancelled.set_result(None)
            self._cancelled = None
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result([Record(row) for row in result or ()])

    # -- ends

    def _cancel(self) -> None:
        backend = self._backend
        if backend.running is None:
            return
        if backend.committing:
            self._server.give_up_waiting()
        else:
            backend.running.cancel()

    def _tell_server(self, callback: Callable[[], None]) -> None:
        self._process.world.send(self._process, self._server.process, callback)

    def _server_died(self) -> None:
        self._process.world.send(self._server.process, self._process, self._break, gone())

    def _client_died(self) -> None:
        self._closed = True
        self._tell_server(self._backend.end)

    def _break(self, error: BaseException) -> None:
        if self._closed:
            return
        self._closed = True
        self._process.on_death.pop(self._death, None)
        self._server.process.on_death.pop(self._death_of_server, None)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        if self._cancelled is not None and not self._cancelled.done():
            self._cancelled.set_result(None)


class _Transaction:
    def __init__(self, connection: Connection, isolation: str) -> None:
        self._connection = connection
        self._begin = "BEGIN ISOLATION LEVEL REPEATABLE READ" if isolation == "repeatable_read" else "BEGIN"

    async def start(self) -> None:
        await self._connection.execute(self._begin)

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")


class Pool:
    """A bounded pool of such connections."""

    def __init__(self, connect: Callable[[], Any], most: int) -> None:
        self._connect, self._most = connect, most
        self._idle: list[Connection] = []
        self._lent = self._generation = 0
        self._waiting: list[asyncio.Future[None]] = []

    def __await__(self) -> Any:
        yield from ()
        return self

    async def acquire(self, *, timeout: float | None = None) -> Connection:
        async with asyncio.timeout(timeout):
            while self._lent >= self._most:
                free = asyncio.get_running_loop().create_future()
                self._waiting.append(free)
                await free
            self._lent += 1
            try:
                while self._idle:
                    kept = self._idle.pop()
                    if not kept.is_closed() and kept.generation == self._generation:
                        return kept
                    kept.terminate()
                connection: Connection = await self._connect()
                connection.generation = self._generation
                return connection
            except BaseException:
                self._give_back()
                raise

    async def release(self, connection: Connection) -> None:
        late = connection._cancelled is not None or connection._answer is not None
        if late or connection.generation != self._generation:
            connection.terminate()
        if not connection.is_closed():
            self._idle.append(connection)
        self._give_back()

    def _give_back(self) -> None:
        self._lent -= 1
        while self._waiting:
            free = self._waiting.pop(0)
            if not free.done():
                free.set_result(None)
                break

    async def expire_connections(self) -> None:
        self._generation += 1

    async def close(self) -> None:
        self.terminate()

    def terminate(self) -> None:
        for connection in self._idle:
            connection.terminate()


def _time_out(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


async def connect(server: Server, statements: Statements, options: dict[str, str], timeout: float) -> Connection:
    """Open a connection from the process that runs: three ways, each of which may be lost."""
    process = current()
    loop = process.loop
    opened: asyncio.Future[Backend] = loop.create_future()
    if not server.process.alive or not server.ready:
        await asyncio.sleep(0.001)
        raise ConnectionRefusedError("the server is not running")
    waiting = server.process.hear_death(lambda: _fail(opened))

    def accept() -> None:
        if not server.ready:
            return
        backend = Backend(server, server.cluster.world.number(), options)
        server.backends[backend.number] = backend
        process.world.send(server.process, process, _open, opened, backend)

    process.world.send(process, server.process, accept, extra=0.001)
    try:
        async with asyncio.timeout(timeout):
            backend = await opened
    finally:
        server.process.on_death.pop(waiting, None)
    return Connection(process, server, backend, statements)


def _open(opened: asyncio.Future[Backend], backend: Backend) -> None:
    if opened.done():
        backend.end()
    else:
        opened.set_result(backend)


def _fail(opened: asyncio.Future[Backend]) -> None:
    opened.get_loop().call_soon(_refuse, opened)


def _refuse(opened: asyncio.Future[Backend]) -> None:
    if not opened.done():
        opened.set_exception(ConnectionRefusedError("refused"))
