"""What is put inside a service under test does what it says, and nothing while it is switched off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from atlas_local.faults.stores import newest_parts
from atlaskit.kafka.consumer import Partition, Record
from checker.processes import faulty
from checker.processes.faulty import Loss

HISTORY, LEDGER = "atlas.entity_attributes", "atlas.ingest_batches"


@dataclass(frozen=True)
class Row:
    offset: int
    value: bytes | None
    timestamp: int = 0


def row(offset: int) -> Record:
    return Row(offset, json.dumps({"__table": "entity_attributes", "n": offset}).encode())


def beat(offset: int) -> Record:
    return Row(offset, json.dumps({"__table": "entity_attributes_beat"}).encode())


@pytest.fixture
def loss(tmp_path: Path) -> Loss:
    return Loss(tmp_path / "lose", tmp_path / "lost")


def test_nothing_is_lost_until_it_is_told(loss: Loss) -> None:
    batch = {Partition(HISTORY, 3): [row(1), row(2)]}
    assert loss.of(batch) == batch


def test_the_next_row_of_the_topic_is_lost_for_good_and_told(loss: Loss, tmp_path: Path) -> None:
    (tmp_path / "lose").write_text(HISTORY)
    other, ours = Partition(LEDGER, 0), Partition(HISTORY, 3)
    assert loss.of({other: [row(1)], ours: [beat(7)]}) == {other: [row(1)], ours: [beat(7)]}
    assert (tmp_path / "lose").exists()
    assert loss.of({ours: [beat(8), row(9), row(10)]}) == {ours: [beat(8), row(10)]}
    assert not (tmp_path / "lose").exists()
    told = json.loads((tmp_path / "lost").read_text())
    assert (told["topic"], told["partition"], told["offset"], told["row"]["n"]) == (HISTORY, 3, 9, 9)
    assert loss.of({ours: [row(9)]}) == {}
    assert loss.of({ours: [row(9), row(11)]}) == {ours: [row(11)]}


def test_the_clock_of_atlas_is_shifted_and_that_of_others_is_not(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import atlas_olap_sink.app\n"
        "from checker.processes.faulty import shift\n"
        "from atlaskit.clock import SystemClock\n"
        "from atlas_olap_sink.traces import now_ns\n"
        "shift(Path(sys.argv[2]))\n"
        "clock = SystemClock()\n"
        "print(clock.wall().timestamp() - time.time(), now_ns() / 1e9 - time.time(),"
        " clock.boot().nanoseconds / 1e9 - time.clock_gettime(time.CLOCK_BOOTTIME))\n"
    )
    folder = str(Path(faulty.__file__).parents[2])
    for text, expected in (("", 0.0), ("3600", 3600.0), ("-3600.5", -3600.5)):
        (tmp_path / "clock").write_text(text)
        told = subprocess.run(
            [sys.executable, "-c", program, folder, str(tmp_path / "clock")], capture_output=True, text=True, check=True
        )
        wall, stamp, boot = map(float, told.stdout.split())
        assert (wall, stamp, boot) == pytest.approx((expected, expected, 0.0), abs=5.0)


def test_the_newest_parts_of_the_given_folders_are_found_by_their_age(tmp_path: Path) -> None:
    for name, age in (("202601_1_1_0", 60), ("202601_2_2_0", 4), ("202601_3_3_0", 0), ("detached", 0)):
        folder = tmp_path / "one" / name
        folder.mkdir(parents=True)
        os.utime(folder, (10_000 - age, 10_000 - age))
    assert sorted(part.name for part in newest_parts([tmp_path / "one"], 5.0)) == ["202601_2_2_0", "202601_3_3_0"]
    assert newest_parts([], 5.0) == []
