"""Calls between processes: the servicers' methods, with messages that pass the links and may be lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from atlaskit.errors import AtlasError
from checker.sim.loop import SimulationError
from checker.sim.process import Process
from grpc import StatusCode, aio


class CallFailed(Exception):
    """The call has no answer. `error` is what the service said; None: nothing was heard of it."""

    def __init__(self, code: str, error: AtlasError | None = None) -> None:
        super().__init__(code)
        self.code, self.error = code, error


class Context:
    """What a servicer's method gets: the caller's patience, and a place for metadata."""

    def __init__(self, loop: Any, deadline: float | None) -> None:
        self._loop, self._deadline = loop, deadline
        self.metadata: Any = ()

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - self._loop.time(), 0.0)

    async def send_initial_metadata(self, metadata: Any) -> None:
        self.metadata = metadata


async def call(source: Process, target: Process, method: str, request: Any, timeout: float) -> tuple[Any, Any]:
    """Return the answer and its initial metadata. Raises CallFailed."""
    if not target.alive:
        await asyncio.sleep(0.0005)
        raise CallFailed("UNAVAILABLE")
    return await _Call(source, target, method, request, timeout).answer()


class _Call:
    """One call with one answer."""

    def __init__(self, source: Process, target: Process, method: str, request: Any, timeout: float) -> None:
        self._source, self._target, self._method, self._request = source, target, method, request
        self._send = source.world.send
        self._done: asyncio.Future[tuple[Any, Any]] = source.loop.create_future()
        self._timeout = timeout
        self._deadline = source.loop.time() + timeout
        self._running: asyncio.Task[Any] | None = None

    async def answer(self) -> tuple[Any, Any]:
        died = self._target.hear_death(self._server_died)
        timer = self._source.loop.call_at(self._deadline, self._settle, None, CallFailed("DEADLINE_EXCEEDED"))
        self._send(self._source, self._target, self._serve)
        try:
            return await self._done
        except CallFailed as failed:
            if failed.code == "DEADLINE_EXCEEDED":
                self._send(self._source, self._target, self._give_up)
            raise
        finally:
            timer.cancel()
            self._target.on_death.pop(died, None)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self._done.done():
            return
        if error is None:
            self._done.set_result(result)
        else:
            self._done.set_exception(error)

    def _server_died(self) -> None:
        self._send(self._target, self._source, self._settle, None, CallFailed("UNAVAILABLE"))

    def _reply(self, result: Any, error: BaseException | None) -> None:
        self._send(self._target, self._source, self._settle, result, error)

    def _serve(self) -> None:
        served = self._target.service
        handler = None if served is None else served.get(self._method)
        if handler is None:
            self._reply(None, CallFailed("UNAVAILABLE"))
            return
        # On the wire a deadline is the time that was left at the sending: a call that comes late has all of it still.
        context = Context(self._target.loop, self._target.loop.time() + self._timeout)
        self._running = self._target.run(_served(handler, self._request, context, self._reply), self._method)

    def _give_up(self) -> None:
        if self._running is not None and not self._running.done():
            self._running.cancel()


async def _served(
    handler: Callable[..., Any],
    request: Any,
    context: Context,
    reply: Callable[[Any, BaseException | None], None],
) -> None:
    try:
        response = await handler(request, context)
    except AtlasError as error:
        reply(None, CallFailed("ATLAS", error))
    except BaseExceptionGroup as group:
        known = next((one for one in _leaves(group) if isinstance(one, AtlasError)), None)
        if known is None:
            raise SimulationError(f"a handler failed: {group!r}") from group
        reply(None, CallFailed("ATLAS", known))
    except asyncio.CancelledError:
        reply(None, CallFailed("CANCELLED"))
    except Exception as error:
        raise SimulationError(f"a handler failed: {error!r}") from error
    else:
        reply((response, context.metadata), None)


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


class Channel:
    """A channel from one process to another, for the stubs."""

    def __init__(self, source: Process, target: Process) -> None:
        self._source, self._target = source, target

    def unary_unary(self, method: str, **_: Any) -> Callable[..., Any]:
        name = method.rsplit("/", 1)[1]

        async def ask(request: Any, *, timeout: float = 10.0, metadata: Any = ()) -> Any:
            try:
                return (await call(self._source, self._target, name, request, timeout))[0]
            except CallFailed as failed:
                code = StatusCode.UNAVAILABLE if failed.code != "DEADLINE_EXCEEDED" else StatusCode.DEADLINE_EXCEEDED
                raise aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), str(failed.error)) from None

        return ask

    def stream_unary(self, method: str, **_: Any) -> Any:
        raise SimulationError(f"no {method} in the simulation")

    unary_stream = stream_unary

    def stream_stream(self, method: str, **_: Any) -> Callable[..., Stream]:
        name = method.rsplit("/", 1)[1]
        return lambda: Stream(self._source, self._target, name)


class Stream:
    """One call with a stream each way."""

    def __init__(self, source: Process, target: Process, method: str) -> None:
        self._source, self._target, self._method = source, target, method
        self._there, self._back = [0.0], [0.0]
        self._answers: deque[Any] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._over: BaseException | None = None
        self._questions: deque[Any] = deque()
        self._asker: asyncio.Future[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._closed = False
        if target.alive:
            target.hear_death(lambda: self._send_back(self._end, _lost("the server died")))
            source.world.send(source, target, self._begin, lane=self._there)
        else:
            self._over = _lost("no server")

    # -- at the client

    async def write(self, message: Any) -> None:
        if self._over is not None:
            raise self._over
        self._source.world.send(self._source, self._target, self._ask, message, lane=self._there)

    async def read(self) -> Any:
        while not self._answers:
            if self._over is not None:
                raise self._over
            self._reader = self._source.loop.create_future()
            await self._reader
        return self._answers.popleft()

    def cancel(self) -> None:
        if self._over is None and not self._source.loop.dead:
            self._over = asyncio.InvalidStateError("cancelled")
            self._source.world.send(self._source, self._target, self._stop, lane=self._there)

    def _answered(self, message: Any) -> None:
        self._answers.append(message)
        _wake(self._reader)

    def _end(self, error: BaseException) -> None:
        if self._over is None:
            self._over = error
            _wake(self._reader)

    # -- at the server

    def _begin(self) -> None:
        served = self._target.service
        handler = None if served is None else served.get(self._method)
        if handler is None:
            self._send_back(self._end, _lost("not serving"))
        else:
            self._task = self._target.run(self._serve(handler), self._method)

    async def _serve(self, handler: Callable[..., Any]) -> None:
        try:
            await handler(self._requests(), ServerSide(self))
        except asyncio.CancelledError:
            pass
        except AtlasError as error:
            self._send_back(self._end, _lost(str(error)))
            return
        self._send_back(self._end, _lost("ended"))

    async def _requests(self) -> AsyncIterator[Any]:
        while True:
            while not self._questions:
                if self._closed:
                    return
                self._asker = self._target.loop.create_future()
                await self._asker
            yield self._questions.popleft()

    def answer(self, message: Any) -> None:
        self._send_back(self._answered, message)

    def _ask(self, message: Any) -> None:
        self._questions.append(message)
        _wake(self._asker)

    def _stop(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    def _send_back(self, callback: Callable[..., object], *args: Any) -> None:
        self._source.world.send(self._target, self._source, callback, *args, lane=self._back)


class ServerSide:
    """The context of a stream at its server."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def time_remaining(self) -> float | None:
        return None

    async def write(self, message: Any) -> None:
        self._stream.answer(message)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _lost(text: str) -> aio.AioRpcError:
    return aio.AioRpcError(StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), text)
