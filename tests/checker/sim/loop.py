"""Virtual time: one queue of callbacks for all processes, each of which has an event loop of its own.

Nothing waits: when nothing is ready the clock jumps to the next timer. A process that is paused keeps what falls due
until it goes on, as after SIGSTOP; one that is dead never runs again, not even its `finally` blocks.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

START = 1_000.0  # seconds of virtual time at the beginning of a run
# Work takes time: after so many callbacks at one instant the clock goes on by itself. A wait shorter than the clock can
# tell would otherwise be waited for again and again, for ever.
MOST_AT_ONCE, WORK = 5_000, 1e-6


class SimulationError(BaseException):
    """The simulation, or what runs in it, is wrong in a way that no service may swallow: it ends the run."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        if Scheduler.running is not None:
            Scheduler.running.error = self


class Handle:
    """A callback of a process."""

    __slots__ = ("args", "callback", "context", "loop", "stopped")

    def __init__(
        self,
        loop: ProcessLoop,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
    ) -> None:
        # One by one: as a tuple it would be built and taken apart, forty thousand times a seed.
        self.loop = loop
        self.callback = callback
        self.args = args
        self.context = context
        self.stopped = False

    def cancel(self) -> None:
        self.stopped = True

    def cancelled(self) -> bool:
        return self.stopped


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number: sets of tasks are walked in the same order in every run."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, number: int, **options: Any) -> None:
        self.number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number


class Scheduler:
    """The one clock and queue. `now` is seconds; `at` runs something at an instant, outside every process."""

    running: ClassVar[Scheduler | None] = None

    def __init__(self) -> None:
        self.now = START
        self.error: BaseException | None = None
        self.steps = 0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._numbers = 0
        self.tasks = 0
        self.outside = ProcessLoop(self, "outside")

    def push(self, when: float, handle: Handle) -> None:
        self._numbers += 1
        heapq.heappush(self._timers, (when, self._numbers, handle))

    def ready(self, handle: Handle) -> None:
        self._ready.append(handle)

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> Handle:
        return self.outside.call_at(when, callback, *args)

    def after(self, delay: float, callback: Callable[..., object], *args: Any) -> Handle:
        return self.outside.call_at(self.now + delay, callback, *args)

    def run_until(self, end: float) -> None:  # noqa: C901 - the one hot loop, unfolded
        """Run everything that falls due up to `end`. Raises what the simulation itself got wrong."""
        ready, timers = self._ready, self._timers
        set_running = events._set_running_loop
        current: ProcessLoop | None = None
        most = self.steps + MOST_AT_ONCE
        Scheduler.running = self
        try:
            while self.error is None:
                if not ready:
                    if not timers or timers[0][0] > end:
                        break
                    when = timers[0][0]
                    if when > self.now:
                        self.now = when
                        most = self.steps + MOST_AT_ONCE
                    while timers and timers[0][0] <= when:
                        handle = heapq.heappop(timers)[2]
                        if not handle.stopped:
                            ready.append(handle)
                    continue
                handle = ready.popleft()
                if handle.stopped:
                    continue
                loop = handle.loop
                if loop.halted:
                    if not loop.dead:
                        loop.stalled.append(handle)
                    continue
                if loop is not current:
                    set_running(loop)
                    current = loop
                self.steps += 1
                if self.steps > most:
                    self.now += WORK
                    most = self.steps + MOST_AT_ONCE
                try:
                    handle.context.run(handle.callback, *handle.args)
                except SimulationError as error:
                    self.error = error
        finally:
            set_running(None)
            Scheduler.running = None
        if self.error is not None:
            raise self.error
        self.now = max(self.now, end)


# Any to the type checker: of the many methods of a loop only those are here that are called.
_Loop: Any = asyncio.AbstractEventLoop


class ProcessLoop(_Loop):  # type: ignore[misc]
    """The event loop of one process. `executor` makes a call on a thread: (function, arguments) -> future."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler, self.name = scheduler, name
        self.halted = self.dead = False
        self.stalled: list[Handle] = []
        self.faults: list[str] = []
        self.process: Any = None
        self.executor: Callable[..., asyncio.Future[Any]] | None = None

    def pause(self) -> None:
        self.halted = True

    def resume(self) -> None:
        if self.dead:
            return
        self.halted = False
        stalled, self.stalled = self.stalled, []
        for handle in stalled:
            self.scheduler.ready(handle)

    def kill(self) -> None:
        self.halted = self.dead = True
        self.stalled.clear()

    def time(self) -> float:
        return self.scheduler.now

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(self, callback, args, context or contextvars.copy_context())
        self.scheduler._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(self, callback, args, context or contextvars.copy_context())
        self.scheduler.push(when, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(self, callback, args, context or contextvars.copy_context())
        self.scheduler.push(self.scheduler.now + delay, handle)
        return handle

    call_soon_threadsafe = call_soon

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        self.scheduler.tasks += 1
        return SimTask(coro, number=self.scheduler.tasks, loop=self, name=name or "task", context=context)

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        if self.executor is not None:
            return self.executor(func, args)
        done = self.create_future()
        done.set_result(func(*args))
        return done

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, SimulationError):
            self.scheduler.error = error
        elif not self.dead:
            self.faults.append(f"{self.name}: {context.get('message')}: {error!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)
