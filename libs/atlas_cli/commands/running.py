"""How a command runs, and how it ends when something goes wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer
from atlas_client import CallFailed

from atlas_cli.loading import Interrupted, LedgerFault
from atlas_cli.sets import DataFault
from atlas_cli.text import failure_lines

Result = TypeVar("Result")

EXIT_FAILED = 1  # a call or a file failed
EXIT_REFUSED = 3  # all was sent, and some of it was refused
EXIT_INTERRUPTED = 4  # a load stopped before its end; the same command goes on from there
EXIT_STOPPED = 130  # Ctrl-C


def complete(work: Coroutine[Any, Any, Result], target: str) -> Result:
    """Return what the work returns. A failure that has a name is told on standard error and ends the process."""
    try:
        return asyncio.run(work)
    except CallFailed as failure:
        raise _told(failure_lines(failure, target), EXIT_FAILED) from failure
    except (DataFault, LedgerFault) as fault:
        raise _told([str(fault)], EXIT_FAILED) from fault
    except Interrupted as interrupted:
        raise _told([str(interrupted)], EXIT_INTERRUPTED) from interrupted
    except KeyboardInterrupt as stopped:
        raise _told(["stopped; the same command goes on from here"], EXIT_STOPPED) from stopped


def fail(line: str, code: int = EXIT_FAILED) -> typer.Exit:
    """Tell a line on standard error and return what to raise."""
    return _told([line], code)


def _told(lines: list[str], code: int) -> typer.Exit:
    for line in lines:
        print(f"atlas: {line}" if line is lines[0] else line, file=sys.stderr)
    return typer.Exit(code)
