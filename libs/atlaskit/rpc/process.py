"""From an environment to a running service and back: what stands in every `__main__`."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import structlog
import uvloop

from atlaskit.config import ServiceSettings, load
from atlaskit.errors import ConfigurationWrong
from atlaskit.telemetry.logs import configure_logs

S = TypeVar("S", bound=ServiceSettings)
Running = Callable[[S], AbstractAsyncContextManager[int]]

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
EXIT_FAILED = 1
EXIT_ABORTED = 130

log = structlog.get_logger(__name__)


def run(
    service: str,
    settings: type[S],
    running: Running[S],
    arguments: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> int:
    """Run a service until SIGTERM or SIGINT and return its exit status: 0 after a drain.

    `running` opens everything and yields the bound port. The first signal leaves it, which drains; a second one cancels
    that. With `--check` only the settings are read. Wrong settings are all named on standard error: status 78. Who
    talks to Kafka takes the loop of the standard library: docs/decisions/0012-deaf-consumers.md.
    """
    check = "--check" in (sys.argv[1:] if arguments is None else arguments)
    try:
        chosen = load(settings, os.environ if environ is None else environ)
    except ConfigurationWrong as wrong:
        print(f"{service}: {wrong}", file=sys.stderr)  # noqa: T201  # before there is a log
        return EXIT_CONFIGURATION
    if check:
        print(f"{service}: the settings are complete", file=sys.stderr)  # noqa: T201
        return 0
    configure_logs(service, chosen.log_level)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_until_told(chosen, running))


async def _until_told(settings: S, running: Running[S]) -> int:
    signals = _Signals()
    try:
        async with running(settings) as port:
            # What stands now stays: a full collection of garbage that looked through it would hold calls for 25 ms.
            gc.collect()
            gc.freeze()
            with _PortFile(settings.port_file, port):
                host = settings.address.rpartition(":")[0]
                log.info(f"ready {host}:{port}", address=f"{host}:{port}", pid=os.getpid())
                await signals.wait()
                log.info("draining")
    except asyncio.CancelledError:
        log.warning("aborted")
        return EXIT_ABORTED
    except ConfigurationWrong as wrong:
        log.error("cannot run", problem=str(wrong))
        return EXIT_CONFIGURATION
    except Exception:
        log.exception("failed")
        return EXIT_FAILED
    log.info("stopped")
    return 0


class _Signals:
    """SIGTERM and SIGINT: the first one that comes while somebody waits ends the wait, any other cancels the task.

    While a service still starts nobody waits: there is nothing to drain, and a start may hang on a store."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._waiting = False
        self._told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._tell)

    async def wait(self) -> None:
        self._waiting = True
        await self._told.wait()

    def _tell(self) -> None:
        if not self._waiting or self._told.is_set():
            self._task.cancel()
        self._told.set()


class _PortFile:
    """The port in a file while the service is ready; put there in one step, so that nobody reads half of it."""

    def __init__(self, path: Path | None, port: int) -> None:
        self._path, self._port = path, port

    def __enter__(self) -> None:
        if self._path is not None:
            partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            partial.write_text(f"{self._port}\n")
            partial.replace(self._path)

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
