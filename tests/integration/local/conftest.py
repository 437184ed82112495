"""One running stack for these tests, with captured tables of its own: they do not depend on the platform's schema."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from atlas_local import LocalStack, StackOptions, local_stack
from atlas_local.migrations import register_connector
from atlas_local.postgres import SUPERUSER
from atlaskit.kafka.topics import ensure_topics

CAPTURED = Path(__file__).with_name("captured_tables.sql")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that PostgreSQL's unprivileged user can reach, which pytest's own is not."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="package")
async def bare() -> AsyncIterator[LocalStack]:
    """A stack of its own, since these tests kill its parts and write to its tables as they like."""
    async with local_stack(StackOptions()) as running:
        await ensure_topics(running.kafka_bootstrap)
        await running.primary.run_file(CAPTURED)
        await register_connector(running, SUPERUSER)
        yield running


@pytest.fixture(scope="session")
def processes_of() -> Callable[[Path], list[str]]:
    """Find the processes that work in a data directory: named in their command or their current folder."""

    def find(directory: Path) -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                folder = str((process / "cwd").readlink())
            except OSError:
                continue
            if f"{directory}/" in command or folder.startswith(f"{directory}/"):
                found.append(f"{process.name} {command[:80]}")
        return found

    return find
