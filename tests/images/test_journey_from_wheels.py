"""The journey of a row once more, with every service started from the environment of its image."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from atlas_local.launch import Launched
from atlas_local.platform import SERVICES
from e2e.test_row_journey import *  # noqa: F403 - the very same tests, on this folder's fixtures
from unit.deploy.deployments import dockerfile

NOBODY = "127.0.0.1:1"


async def test_no_process_of_the_platform_runs_from_the_checkout(atlas: Launched) -> None:
    for name, service in atlas.platform.services.items():
        assert f"/environments/{name}/bin/" in command_line(service.pid)


@pytest.mark.parametrize("name", SERVICES)
async def test_an_images_health_check_tells_a_service_that_runs_from_none(
    name: str, atlas: Launched, environments: dict[str, Path]
) -> None:
    assert health(name, environments[name], atlas.platform.addresses[name]) == 0
    assert health(name, environments[name], NOBODY) == 1


def health(name: str, environment: Path, address: str) -> int:
    """Run the health check of an image, of its interpreter and address these, and return its exit status."""
    words = json.loads(dict(dockerfile(name))["HEALTHCHECK"].partition("CMD ")[2])
    assert words[0] == "/opt/atlas/bin/python"
    told = [re.sub(r"127\.0\.0\.1:\d+", address, word) for word in words[1:]]
    return subprocess.run([str(environment / "bin" / "python"), *told], cwd="/", check=False).returncode


def command_line(pid: int | None) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text("utf-8").replace("\0", " ")
