"""A disk that is full, as a running part meets it: without root's rights, and for that part alone. Linux only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atlas_local import oneshot
from atlas_local.postgres import PostgresServer
from atlas_local.process import ChildProcess, Command

_NO_GROWTH = Path(__file__).with_name("no_growth.py")
_NO_SPACE = Path("/dev/full")  # every write to it fails with ENOSPC


async def stop_growth(part: ChildProcess) -> None:
    """Let the processes that the part has now write to no file any more (EFBIG); those that it starts later may.

    Of PostgreSQL not the postmaster: who cannot write the log ends all its processes, and it starts others. Raises
    PartFailed."""
    processes = part.children if isinstance(part, PostgresServer) else [part.pid, *part.children]
    owner = [str(-1 if one is None else one) for one in (part.command.user, part.command.group)]
    arguments = [sys.executable, "-I", "-S", str(_NO_GROWTH), *owner, *map(str, processes)]
    await oneshot.run("no_growth", Command(arguments), part.log, seconds=10.0)


@contextmanager
def without_space(empty: Path) -> Iterator[None]:
    """Let this file of a table, which must be empty, find no space on its disk (ENOSPC), for who opens it from now on.

    Who has it open goes on as before: tell PostgreSQL's sessions by an ALTER TABLE, here and at the end."""
    aside = empty.with_name(f"{empty.name}.aside")
    empty.rename(aside)
    empty.symlink_to(_NO_SPACE)
    try:
        yield
    finally:
        aside.replace(empty)
