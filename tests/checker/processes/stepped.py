"""Run a service under a wall clock that is wrong by as many seconds as a file says at the time.

    python stepped.py OFFSET_FILE atlas_query_router

Only the wall clock is shifted: boot time and monotonic time stay what they are, as on a machine whose clock is stepped.
"""

from __future__ import annotations

import datetime
import importlib
import runpy
import sys
import time
from pathlib import Path
from typing import Any

_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime


def shift(file: Path) -> None:
    """Shift the wall clock of this process for all of Python, and for what Atlas reads of it."""

    def offset() -> float:
        return float(file.read_text() or 0)

    class Stepped(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _datetime.fromtimestamp(_time() + offset(), tz)

    time.time = lambda: _time() + offset()
    time.time_ns = lambda: _time_ns() + int(offset() * 1e9)
    for name, module in list(sys.modules.items()):
        if name.startswith("atlas") and getattr(module, "datetime", None) is _datetime:
            module.datetime = Stepped  # type: ignore[attr-defined]


def main(file: str, package: str) -> None:
    """Import the service, shift the clock, and run it."""
    sys.argv = [package]
    importlib.import_module(f"{package}.app")
    shift(Path(file))
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
