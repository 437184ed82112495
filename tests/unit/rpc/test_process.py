"""How a service starts, tells where it is, and stops; with a real process and real signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from atlaskit.rpc.process import EXIT_ABORTED, EXIT_CONFIGURATION

PROGRAM = """
import asyncio, gc, sys
from contextlib import asynccontextmanager
from atlaskit.config import ServiceSettings
from atlaskit.rpc.process import run
from atlaskit.rpc.server import serving

class Settings(ServiceSettings):
    mode: str

@asynccontextmanager
async def running(settings):
    if settings.mode == "hangs-at-start":
        print("starting", file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    async with serving([], settings.address) as port:
        try:
            yield port
        finally:
            print("frozen", gc.get_freeze_count(), file=sys.stderr, flush=True)
            if settings.mode == "hangs-at-stop":
                await asyncio.Event().wait()

sys.exit(run("probe", Settings, running))
"""


@asynccontextmanager
async def started(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **{f"ATLAS_{key.upper()}": text for key, text in environ.items()}},
    )
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if text in line.decode():
            return line.decode()
    raise AssertionError(f"the log ended without {text!r}")


async def test_a_service_tells_its_address_and_stops_on_a_signal(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    async with started(mode="plain", port_file=str(port_file)) as process:
        ready = json.loads(await line_with(process, "ready "))
        assert ready["address"] == f"127.0.0.1:{port_file.read_text().strip()}"
        assert ready["service"] == "probe"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert not port_file.exists()


async def test_collections_of_garbage_leave_out_what_stands_at_the_start() -> None:
    async with started(mode="plain", address="127.0.0.1:0") as process:
        assert process.stderr is not None
        await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
        [frozen] = [line for line in said.decode().splitlines() if line.startswith("frozen ")]
        assert int(frozen.split()[1]) > 10_000


async def test_a_second_signal_ends_a_drain() -> None:
    async with started(mode="hangs-at-stop") as process:
        await line_with(process, "ready ")
        process.send_signal(signal.SIGINT)
        await line_with(process, "draining")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == EXIT_ABORTED


async def test_a_signal_ends_a_start_that_hangs() -> None:
    async with started(mode="hangs-at-start") as process:
        await line_with(process, "starting")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == EXIT_ABORTED


async def test_every_wrong_setting_is_told_at_once() -> None:
    async with started(address="nowhere", drain="-1s") as process:
        assert process.stderr is not None
        told = (await process.stderr.read()).decode()
        assert await process.wait() == EXIT_CONFIGURATION
    assert all(name in told for name in ("ATLAS_MODE", "ATLAS_ADDRESS", "ATLAS_DRAIN"))


async def test_a_check_reads_the_settings_and_starts_nothing() -> None:
    async with started("--check", mode="hangs-at-start") as process:
        assert await process.wait() == 0
