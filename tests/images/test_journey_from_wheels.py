"""The journey of a row once more, with every service started from the environment of its image."""

from pathlib import Path

from atlas_local.launch import Launched
from e2e.test_row_journey import *  # noqa: F403 - the very same tests, on this folder's fixtures


async def test_no_process_of_the_platform_runs_from_the_checkout(atlas: Launched) -> None:
    for name, service in atlas.platform.services.items():
        assert f"/environments/{name}/bin/" in command_line(service.pid)


def command_line(pid: int | None) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text("utf-8").replace("\0", " ")
