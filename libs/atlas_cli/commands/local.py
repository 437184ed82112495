"""`atlas demo` and `atlas up`: everything on this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from atlas_client import CallFailed
from atlas_local.errors import LocalStackError
from atlas_local.jars import MAVEN_CENTRAL
from atlas_local.postgres import PostgresTuning
from atlas_local.stack import StackOptions
from rich.console import Console

from atlas_cli.answers.run import AnswersDiffer, Plan, answers
from atlas_cli.commands.running import EXIT_STOPPED, fail
from atlas_cli.demo.run import cancel_on_sigterm, demo, up
from atlas_cli.demo.verify import CopiesDiffer, verify
from atlas_cli.sets.totals import FOLDERS
from atlas_cli.text import failure_lines

DataDir = Annotated[Path | None, typer.Option(help="Keep the data here; another start goes on with it")]


def demo_command(
    *,
    exit_after: Annotated[bool, typer.Option("--exit", help="Stop when all is shown")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show the whole journey on real parts and real data: load, read with certificates, trace."""
    console = Console(soft_wrap=True)
    _run(lambda: demo(_options(data_dir, console), console, exit_after=exit_after))


def verify_copies_command(
    *, data: Annotated[Path, typer.Argument(help="Folder with the four whole sets, one folder each")]
) -> None:
    """Load the four whole sets into a stack of its own and compare the counts in every copy.

    Takes about ten minutes and 15 GB of disk. Ends with 1 when a count differs.
    """
    for folder in FOLDERS.values():
        if not (data / folder).is_dir():
            raise fail(f"{data}: no folder {folder} in it; pass the folder that holds {', '.join(FOLDERS.values())}", 2)
    console = Console(soft_wrap=True)
    options = replace(_options(None, console), tuning=PostgresTuning(shared_buffers="1GB"))
    _run(lambda: verify(data, options, console))


def answers_command(
    *,
    data: Annotated[Path, typer.Argument(help="Folder with the sets, one folder each")],
    sets: Annotated[str, typer.Option(help="Only these sets, with commas")] = ",".join(FOLDERS),
    twice: Annotated[bool, typer.Option(help="Load each set again in another order, and ask again")] = False,
    everywhere: Annotated[bool, typer.Option(help="Ask every copy every question")] = False,
) -> None:
    """Load the whole sets into a stack of its own and ask the forty questions whose exact answers are known.

    Ends with 1 when an answer differs.
    """
    chosen = tuple(sets.split(","))
    for name in chosen:
        if name not in FOLDERS:
            raise fail(f"--sets: {name!r} is none of {', '.join(FOLDERS)}", 2)
        if not (data / FOLDERS[name]).is_dir():
            raise fail(f"{data}: no folder {FOLDERS[name]} in it", 2)
    console = Console(soft_wrap=True)
    options = replace(_options(None, console), tuning=PostgresTuning(shared_buffers="1GB"))
    _run(lambda: answers(data, options, console, Plan(chosen, twice, everywhere)))


def up_command(*, data_dir: DataDir = None) -> None:
    """Start the stack and the services on this machine and keep them up."""
    console = Console(soft_wrap=True)
    _run(lambda: up(_options(data_dir, console), console))


def _options(data_dir: Path | None, console: Console) -> StackOptions:
    def downloaded(done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            console.print(f"          {done} of {total} jars are here", highlight=False)

    return StackOptions(
        data_dir=data_dir,
        keep=data_dir is not None,
        repository=os.environ.get("ATLAS_MAVEN_REPOSITORY", MAVEN_CENTRAL),
        progress=downloaded,
        started=lambda part: console.print(f"          {part} is healthy", highlight=False),
        revived=lambda what: console.print(f"          {what}", highlight=False, markup=False),
    )


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def until_told() -> None:
        cancel_on_sigterm()
        await work()

    try:
        asyncio.run(until_told())
    except (LocalStackError, CopiesDiffer, AnswersDiffer) as error:
        raise fail(str(error)) from error
    except CallFailed as failure:
        raise fail("\n".join(failure_lines(failure, "the local platform"))) from failure
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise fail("stopped; nothing is left running", EXIT_STOPPED) from None
