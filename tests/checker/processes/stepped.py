"""Run a service under a wall clock that is wrong by as many seconds as a file says at the time.

    python stepped.py OFFSET_FILE atlas_query_router

Shifted is every reading of the wall clock in Atlas's own code. Boot time and monotonic time stay what they are, as on a
machine whose clock is stepped; so does what the C core of gRPC reads, which converts deadlines between the clocks of
one instant and so is not misled by a step, but would be by a shift in Python alone.
"""

from __future__ import annotations

import datetime
import importlib
import runpy
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

_datetime = datetime.datetime


def shift(file: Path) -> None:
    """Shift the wall clock of every module of Atlas that is loaded; the others read the true one."""

    def offset() -> float:
        return float(file.read_text() or 0)

    class Stepped(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _datetime.fromtimestamp(time.time() + offset(), tz)

    stepped = ModuleType("time")
    vars(stepped).update(vars(time))
    vars(stepped)["time"] = lambda: time.time() + offset()
    vars(stepped)["time_ns"] = lambda: time.time_ns() + int(offset() * 1e9)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0].startswith("atlas"):
            for attribute, (true, other) in {"datetime": (_datetime, Stepped), "time": (time, stepped)}.items():
                if getattr(module, attribute, None) is true:
                    setattr(module, attribute, other)


def main(file: str, package: str) -> None:
    """Import the service, shift its clock, and run it."""
    sys.argv = [package]
    importlib.import_module(f"{package}.app")
    shift(Path(file))
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
