"""How far a load is, for people: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LINE_EVERY = 5.0  # seconds


class Progress(Protocol):
    """Told how far a load is."""

    def shown(self, title: str, total_bytes: int) -> AbstractContextManager[None]:
        """Show the load of this many bytes while the context is open."""
        ...

    def advance(self, bytes_read: int, writes: int) -> None:
        """Take note that `writes` more are done, and that all up to `bytes_read` was read."""
        ...


def progress_for(stream: TextIO) -> Progress:
    """Return a bar for a terminal, and lines for anything else."""
    return RichProgress(Console(file=stream)) if stream.isatty() else PlainProgress(stream)


def rate_text(writes: int, seconds: float) -> str:
    """Return writes a second as people read it."""
    return f"{writes / seconds:,.0f} values/s" if seconds > 0 else "- values/s"


def remaining_text(share: float, seconds: float) -> str:
    """Return the time left when this share (0 to 1) took so many seconds; unknown at the very start."""
    return f"about {seconds * (1 - share) / share:,.0f} s left" if share > 0.01 else "time left unknown"


class RichProgress:
    """A bar with values, values a second and the time left."""

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[writes]:,} values"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._writes, self._begun = 0, time.monotonic()

    @contextmanager
    def shown(self, title: str, total_bytes: int) -> Iterator[None]:
        self._writes, self._begun = 0, time.monotonic()
        self._task = self._bar.add_task(title, total=max(total_bytes, 1), writes=0, rate="")
        with self._bar:
            yield

    def advance(self, bytes_read: int, writes: int) -> None:
        self._writes += writes
        rate = rate_text(self._writes, time.monotonic() - self._begun)
        done = max(bytes_read, self._bar.tasks[self._task].completed)
        self._bar.update(self._task, completed=done, writes=self._writes, rate=rate)


class PlainProgress:
    """A line at most every five seconds, for logs."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._title, self._total, self._read, self._writes = "", 1, 0, 0
        self._begun = self._told = time.monotonic()

    @contextmanager
    def shown(self, title: str, total_bytes: int) -> Iterator[None]:
        self._title, self._total, self._read, self._writes = title, max(total_bytes, 1), 0, 0
        self._begun = self._told = time.monotonic()
        try:
            yield
        finally:
            self._tell()

    def advance(self, bytes_read: int, writes: int) -> None:
        self._read, self._writes = max(bytes_read, self._read), self._writes + writes
        if time.monotonic() - self._told >= LINE_EVERY:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        seconds, share = self._told - self._begun, self._read / self._total
        left = remaining_text(share, seconds) if share < 1 else f"{seconds:.1f} s"
        line = f"{self._title}: {share:.0%}, {self._writes:,} values, {rate_text(self._writes, seconds)}, {left}"
        print(line, file=self._stream, flush=True)
