"""The README is executed: its Python, its commands and its paths."""

import ast
import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from atlas_local.launch import Launched

FAST = {**os.environ, "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


def commands(readme: str) -> set[str]:
    return set(re.findall(r"`(make(?: [^`]*)?)`", readme))


async def make(root: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "make",
        f"PYTHON={sys.executable}",
        *arguments,
        cwd=root,
        env=FAST,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


async def test_the_first_example_runs_and_prints_a_certificate(
    atlas: Launched, readme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [source] = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names = {"INGEST": atlas.ingest, "QUERY": atlas.query}
    code = compile(source, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)
    assert re.search(r"^38\.5 - (replica|primary), at most [0-9.]+ ms stale, epoch 1 at ", capsys.readouterr().out)


def test_every_command_of_the_readme_is_one_that_a_test_runs(readme: str, root: Path) -> None:
    run_here = {"make", "make demo", "make up", "make up DATA_DIR=..."}
    assert commands(readme) - run_here == {"make test"}
    assert "make test" in (root / ".ci" / "run").read_text().splitlines()


async def test_make_alone_lists_the_targets(root: Path) -> None:
    process = await make(root)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert {"demo", "test", "up", "lint"} <= {line.split()[0] for line in output.decode().splitlines() if line.strip()}


async def test_make_demo_shows_the_journey_and_ends_with_zero(root: Path) -> None:
    process = await make(root, "demo", "DEMO_EXIT=1")
    output, _ = await asyncio.wait_for(process.communicate(), 240)
    text = output.decode()
    assert process.returncode == 0, text
    for expected in (
        "DASHBOARD",
        "ANALYTICS",
        "first certified answers",
        "read 1 from primary, at most",
        "read 2 from replica, at most",
        "read 3 from olap, at most",
        "olap.visible",
        "metar: primary 76,232, replica 76,232, olap 76,232",
        "backblaze: primary 173,160, replica 173,160, olap 173,160",
        "/api/v1/entities/KATL/status",
    ):
        assert expected in text, text


async def test_make_up_keeps_the_data_and_leaves_no_process(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for _ in range(2):
        process = await make(root, "up", f"DATA_DIR={root / 'build' / 'readme-up'}")
        try:
            assert process.stdout is not None
            async with asyncio.timeout(120):
                text = ""
                while "Up until Ctrl-C." not in text:
                    line = await process.stdout.readline()
                    assert line, text
                    text += line.decode()
        finally:
            await ended(process)
        assert not await processes_with(str(root / "build" / "readme-up"))


async def ended(process: asyncio.subprocess.Process) -> None:
    """Interrupt it as Ctrl-C does and wait for its end; one that goes on is ended, and has failed."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), 120)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        raise


async def processes_with(text: str) -> list[str]:
    """Return the command lines on this machine that name this text."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            lines.append(line)
    return lines


def test_every_path_in_the_readme_exists(readme: str, root: Path) -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", readme)
    named = re.findall(r"`((?:protos|services|libs|tests|infra)/[^`]+)`", readme)
    assert linked
    assert named
    assert [path for path in [*linked, *named] if not (root / path).exists()] == []
