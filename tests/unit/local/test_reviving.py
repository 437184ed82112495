"""A part that ended by itself is started again; one that somebody ended stays down."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from atlas_local import reviving
from atlas_local.process import ChildProcess, Command
from atlas_local.reviving import revived
from atlaskit import restarts

Eventually = Callable[..., Awaitable[None]]
# Much longer than a test; the test ends it.
LASTING = "import time; print('here', flush=True); time.sleep(600)"


def lasting(name: str, log: Path) -> ChildProcess:
    async def speaks() -> bool:
        return "here" in log.read_text()

    return ChildProcess(name, Command([sys.executable, "-c", LASTING]), log, speaks, 10.0)


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChildProcess:
    monkeypatch.setattr(reviving, "_EVERY", 0.01)
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.01)
    return lasting("part", tmp_path / "log")


@pytest.fixture
def other(tmp_path: Path) -> ChildProcess:
    return lasting("other", tmp_path / "other")


async def test_a_part_that_is_killed_from_outside_is_started_again_each_time(
    part: ChildProcess, eventually: Eventually
) -> None:
    said: list[str] = []
    async with revived([part], said.append):
        await part.start()
        for falls in (1, 2, 3):
            before = part.pid
            os.kill(before, signal.SIGKILL)

            async def again(before: int = before, falls: int = falls) -> None:
                assert part.running
                assert part.pid != before
                assert said.count("part is up again") == falls

            await eventually(again)
        assert said[0] == "part ended by itself and is started again; it said last: here"
    await part.stop()
    assert not part.fallen


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_what_somebody_ends_stays_down_while_what_falls_comes_back(
    part: ChildProcess, other: ChildProcess, eventually: Eventually, end: str
) -> None:
    said: list[str] = []
    async with revived([part, other], said.append):
        await part.start()
        await other.start()
        assert not part.fallen
        if (ending := getattr(part, end)()) is not None:
            await ending
        assert not part.fallen
        os.kill(other.pid, signal.SIGKILL)

        async def back() -> None:
            assert said[1:] == ["other is up again"]
            assert other.running

        await eventually(back)
        assert not part.running
    assert said[0].startswith("other ended by itself")
    await other.stop()


async def test_without_anybody_to_tell_nothing_is_started_again(part: ChildProcess, eventually: Eventually) -> None:
    async with revived([part], None):
        await part.start()
        os.kill(part.pid, signal.SIGKILL)

        async def down() -> None:
            assert part.fallen

        await eventually(down)
        assert [task for task in asyncio.all_tasks() if task.get_name() == "revive-part"] == []
        assert part.fallen
    part.kill()
