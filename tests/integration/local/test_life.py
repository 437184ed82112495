"""Start, stop and sudden end of a whole stack: nothing is left behind, kept data is there again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from atlas_local import DataDirectoryClosed, DataDirectoryInUse, PartFailed, PortTaken, StackOptions, local_stack
from atlas_local.account import postgres_account

Processes = Callable[[Path], list[str]]


@contextmanager
def program(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m atlas_local` on this data directory, up; killed at the end if it still runs."""
    arguments = [sys.executable, "-m", "atlas_local", "--bare", "--data", str(data_dir)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("  clickhouse"):
                    break
            assert process.poll() is None, "".join(said)
            yield process
        finally:
            process.kill()


async def none_left(directory: Path, processes_of: Processes, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while left := processes_of(directory):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.05)


async def test_a_killed_parent_leaves_no_process_and_its_data_starts_again(
    data_dir: Path, processes_of: Processes
) -> None:
    create, read = data_dir / "create.sql", data_dir / "read.sql"
    create.write_text("CREATE TABLE kept AS SELECT 42 AS answer;")
    read.write_text("SELECT answer FROM kept;")
    with program(data_dir) as parent:
        assert len(processes_of(data_dir)) > 5
        with pytest.raises(DataDirectoryInUse):
            async with local_stack(StackOptions(data_dir=data_dir)):
                pass
        parent.kill()
        parent.wait()
        await none_left(data_dir, processes_of)
    async with local_stack(StackOptions(data_dir=data_dir, keep=True)) as stack:
        await stack.primary.run_file(create)
        ports = dict(stack.ports)
    await none_left(data_dir, processes_of, seconds=0.0)
    async with local_stack(StackOptions(data_dir=data_dir, keep=True)) as stack:
        assert stack.ports == ports
        assert await stack.primary.run_file(read) == "42"
        assert await stack.replica.run_file(read) == "42"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_everything_cleanly(
    data_dir: Path, processes_of: Processes, number: signal.Signals
) -> None:
    with program(data_dir) as parent:
        parent.send_signal(number)
        assert await asyncio.to_thread(parent.wait, 40) == 0
        assert processes_of(data_dir) == []


async def test_a_start_that_fails_half_way_leaves_nothing(data_dir: Path, processes_of: Processes) -> None:
    class Stop(Exception):
        pass

    def fail(part: str) -> None:
        if part == "kafka":
            raise Stop

    with pytest.raises(Stop):
        async with local_stack(StackOptions(data_dir=data_dir, started=fail)):
            pass
    assert processes_of(data_dir) == []
    assert not data_dir.exists()


async def test_a_cancelled_start_leaves_nothing(data_dir: Path, processes_of: Processes) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0), local_stack(StackOptions(data_dir=data_dir)):
            pass
    assert processes_of(data_dir) == []


async def test_a_part_that_cannot_start_is_named_with_its_log(data_dir: Path, processes_of: Processes) -> None:
    (data_dir / "clickhouse").write_text("a file where a folder must be")
    with pytest.raises(PartFailed, match=r"clickhouse ended by itself[^$]*clickhouse.log"):
        async with local_stack(StackOptions(data_dir=data_dir)):
            pass
    assert processes_of(data_dir) == []


async def test_a_given_port_that_is_taken_stops_the_start_before_anything_runs(
    data_dir: Path, processes_of: Processes
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} for connect is taken"):
            async with local_stack(StackOptions(data_dir=data_dir, ports={"connect": port})):
                pass
    assert processes_of(data_dir) == []


@pytest.mark.skipif(postgres_account() is None, reason="only root must hand PostgreSQL to another user")
async def test_a_directory_that_postgresqls_user_cannot_reach_is_named(data_dir: Path) -> None:
    data_dir.chmod(0o700)
    with pytest.raises(DataDirectoryClosed, match="chmod o\\+x"):
        async with local_stack(StackOptions(data_dir=data_dir)):
            pass
