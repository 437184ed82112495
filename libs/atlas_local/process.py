"""One supervised child process: own process group, a log file, readiness by a deadline, a stop that always ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atlas_local.errors import PartFailed, from_os_error

_POLL = 0.02  # seconds between two looks at a process
_LAUNCHER = Path(__file__).with_name("launcher.py")

# Answers True when the part serves; it may raise OSError while the part is still coming up.
HealthCheck = Callable[[], Awaitable[bool]]


async def until(condition: Callable[[], bool], *, every: float) -> None:
    """Return when the condition holds, looking again after `every` seconds; the caller's timeout ends it."""
    while True:
        if condition():
            return
        await asyncio.sleep(every)


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and how it wants to be ended."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the caller's
    user: int | None = None  # uid and gid to run as; None: the caller's own
    group: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL  # sent by the kernel when the parent dies
    stop_seconds: float = 20.0  # after it, SIGKILL


def started_as(command: Command) -> list[str]:
    """Return the arguments that make a child of this process run the command as its user, and die with this process."""
    user = -1 if command.user is None else command.user
    group = -1 if command.group is None else command.group
    tie = [str(os.getpid()), str(int(command.orphan_signal)), str(user), str(group)]
    return [sys.executable, "-I", "-S", str(_LAUNCHER), *tie, *command.arguments]


class ChildProcess:
    """A part of the stack as a process that can be started, stopped, killed, paused and started again.

    On Linux the kernel ends it when the thread that started it ends, so that even a parent killed with -9 leaves no
    orphan; start it from the main thread. macOS has no such call: there a killed parent leaves its parts running.
    """

    def __init__(self, name: str, command: Command, log: Path, health: HealthCheck, start_seconds: float) -> None:
        self.name = name
        self.command = command
        self.log = log
        self._health = health
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = True  # nothing of the process is left: its id may be another's by now
        self._wanted = False  # it was healthy, and nobody has asked it to end since

    @property
    def pid(self) -> int:
        """The process id; also the id of its process group. Raises PartFailed if it was never started."""
        if self._process is None:
            raise self._failed("was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def fallen(self) -> bool:
        """Whether it ended though nobody stopped or killed it, or could not be started again after that."""
        return self._wanted and not self.running

    @property
    def children(self) -> list[int]:
        """The ids of its direct children as they are now; empty where there is no /proc."""
        return [] if self._process is None else _children(self._process.pid)

    async def start(self) -> None:
        """Start the process and return when its health check passes.

        Raises PartFailed if it ends before that or does not pass in time. Then, and if cancelled, nothing is left."""
        if self.running:
            return
        again = self._wanted
        self._spawn()
        try:
            await self._until_healthy()
        except BaseException:
            self.kill()
            self._wanted = again
            raise
        self._wanted = True

    async def stop(self) -> None:
        """Ask the process to end, kill it when its time is over, and return when its group is gone. Repeatable."""
        self._wanted = False
        if self._process is None:
            return
        if self.running:
            self.resume()
            self._signal(self.command.stop_signal)
        try:
            async with asyncio.timeout(self.command.stop_seconds):
                await until(lambda: not self.running, every=_POLL)
        except TimeoutError:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process, its group and its children at once with SIGKILL, as a crash would. Repeatable."""
        self._wanted = False
        if self._process is None or self._ended:
            return
        children = _children(self._process.pid)
        self._signal(signal.SIGKILL)
        for child in children:
            _send(child, signal.SIGKILL)
        self._process.wait()
        _await_gone(children)
        self._ended = True

    async def restart(self) -> None:
        """Stop the process if it runs, and start it again."""
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """Freeze the process and its group (SIGSTOP): its sockets stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal_all(signal.SIGCONT)

    async def healthy(self, limit: float = 5.0) -> bool:
        """Whether the health check passes now, within `limit` seconds."""
        if not self.running:
            return False
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(limit):
                return await self._health()
        return False

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of the log."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 200 * lines))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
        return ""

    def _spawn(self) -> None:
        command = self.command
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - the stack's own commands, no shell
                    started_as(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env={**os.environ, **command.environment},
                    start_new_session=True,
                )
        except OSError as error:
            known = from_os_error(error, self.log)
            raise known if known is not error else self._failed(f"could not be started ({error})") from error
        self._ended = False

    async def _until_healthy(self) -> None:
        try:
            async with asyncio.timeout(self._start_seconds):
                while not await self._passes():
                    if not self.running:
                        raise self._failed(f"ended by itself with status {self._status()}")
                    await asyncio.sleep(_POLL * 2)
        except TimeoutError:
            raise self._failed(f"did not become healthy within {self._start_seconds:g} s") from None

    async def _passes(self) -> bool:
        with contextlib.suppress(OSError):
            return self.running and await self._health()
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _signal_all(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._process is not None and not self._ended:
            for child in _children(self._process.pid):
                _send(child, number)

    def _status(self) -> int | None:
        return self._process.returncode if self._process else None

    def _failed(self, reason: str) -> PartFailed:
        return PartFailed(self.name, reason, self.log, self.log_tail())


def _children(pid: int) -> list[int]:
    """The children of a process; PostgreSQL's each lead a group of their own, so that the group's signal misses them.

    Empty where there is no /proc: PostgreSQL's then end by themselves when they see that their parent is gone."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state parent ...": the name may hold blanks and brackets
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _await_gone(pids: Sequence[int]) -> None:
    """Return when none of these killed processes exists, at the latest after two seconds."""
    deadline = time.monotonic() + 2.0
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.005)
