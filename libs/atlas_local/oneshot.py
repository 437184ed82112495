"""Commands of the stack that run to their end: initdb, pg_basebackup, psql, the storage tool, dbmate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from atlas_local.errors import PartFailed, from_os_error
from atlas_local.process import Command, started_as, until

_POLL = 0.005  # seconds between two looks at the process


async def run(name: str, command: Command, log: Path, *, seconds: float = 60.0) -> str:
    """Run the command to its end and return its standard output; its standard error goes to the log.

    Raises PartFailed if it fails or takes longer than `seconds`. Cancelled, it is killed."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors, tempfile.TemporaryFile() as output:
            before = errors.tell()
            status = await _status(_spawn(command, output.fileno(), errors.fileno()), seconds)
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
    except OSError as error:
        raise from_os_error(error, log) from error
    if status != 0:
        reason = f"failed with status {status}" if status is not None else f"took longer than {seconds:g} s"
        said = log.read_bytes()[before:].decode("utf-8", "replace")
        raise PartFailed(name, reason, log, "\n".join((text + said).splitlines()[-25:]))
    return text


def _spawn(command: Command, output: int, errors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the stack's own commands, no shell
        started_as(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd="/",
        env={**os.environ, **command.environment},
        start_new_session=True,
    )


async def _status(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Return the exit status, or None if its time was over."""
    try:
        async with asyncio.timeout(seconds):
            await until(lambda: process.poll() is not None, every=_POLL)
    except TimeoutError:
        return None
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode


async def succeeds(command: Command, log: Path, *, seconds: float) -> bool:
    """Whether the command ends with status 0 in time; what it prints is dropped."""
    with log.open("ab") as errors:
        return await _status(_spawn(command, subprocess.DEVNULL, errors.fileno()), seconds) == 0
