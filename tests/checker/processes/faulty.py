"""Run a service with faults inside, which files of a folder switch on and off while it runs.

    python faulty.py FOLDER olap-sink

`SERVICE.clock` holds by how many seconds its wall clock is wrong. Shifted is every reading of the wall clock in Atlas's
own code. Boot time and monotonic time stay what they are, as on a machine whose clock is stepped. So does what the C
core of gRPC reads: it converts deadlines between the clocks of one instant, and so is not misled by a step, but would
be by a shift in Python alone.

`SERVICE.lose` holds the name of a topic: the next row of it that the service reads is lost, now and whenever it is read
again, as if it had never been sent. Then the file is gone, and `SERVICE.lost` tells which row it was.
"""

from __future__ import annotations

import datetime
import importlib
import json
import runpy
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from atlaskit.kafka.consumer import Consumer, Partition, Record

_datetime = datetime.datetime


def shift(file: Path) -> None:
    """Shift the wall clock of every module of Atlas that is loaded; the others read the true one."""

    def offset() -> float:
        return float(file.read_text() or 0) if file.exists() else 0.0

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


class Loss:
    """Loses the rows that it was told to lose."""

    def __init__(self, told: Path, report: Path) -> None:
        self._told = told
        self._report = report
        self._lost: set[tuple[Partition, int]] = set()

    def of(self, batch: dict[Partition, list[Record]]) -> dict[Partition, list[Record]]:
        """Return the batch without what is lost."""
        if self._told.exists():
            self._lose_one(batch, self._told.read_text().strip())
        if not self._lost:
            return batch
        left = {at: [one for one in records if (at, one.offset) not in self._lost] for at, records in batch.items()}
        return {at: records for at, records in left.items() if records}

    def _lose_one(self, batch: dict[Partition, list[Record]], topic: str) -> None:
        for at, records in batch.items():
            row = next((one for one in records if at.topic == topic and is_row(one)), None)
            if row is not None:
                self._lost.add((at, row.offset))
                told = {
                    "topic": topic,
                    "partition": at.number,
                    "offset": row.offset,
                    "row": json.loads(row.value or b""),
                }
                partial = self._report.with_suffix(".partial")
                partial.write_text(json.dumps(told))
                partial.replace(self._report)
                self._told.unlink(missing_ok=True)
                return


def is_row(record: Record) -> bool:
    """Tell whether it is a row of a table, and no beat."""
    return record.value is not None and not str(json.loads(record.value).get("__table", "")).endswith("_beat")


def lose(told: Path, report: Path) -> None:
    """Put a loss between Kafka and whoever reads it in this process."""
    loss, whole = Loss(told, report), Consumer.batch

    async def batch(self: Consumer, **how: Any) -> dict[Partition, list[Record]]:
        return loss.of(await whole(self, **how))

    Consumer.batch = batch  # type: ignore[method-assign]


def main(folder: str, service: str) -> None:
    """Import the service, put its faults in place, and run it."""
    package = f"atlas_{service.replace('-', '_')}"
    sys.argv = [package]
    importlib.import_module(f"{package}.app")
    shift(Path(folder, f"{service}.clock"))
    lose(Path(folder, f"{service}.lose"), Path(folder, f"{service}.lost"))
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
