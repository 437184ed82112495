"""What the images are made of, made here by the images' own scripts: wheels, and an environment for each service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ("ingest", "query-router", "lag-monitor", "olap-sink", "gateway")
JOBS = ("keeper", "migrate")
# What .dockerignore lets through.
CONTEXT = (
    "README.md",
    "pyproject.toml",
    "infra/debezium",
    "infra/images",
    "libs",
    "protos",
    "requirements",
    "services",
)
# The first step of every Dockerfile, which `tests/unit/deploy` reads there: what makes the wheels and installs them.
BUILD_STEP = (
    "pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/uv.lock -r requirements/build.lock"
)


def copy_of_the_context(folder: Path) -> Path:
    """Copy what an image's build sees, without what was generated or compiled, and return where."""
    for name in CONTEXT:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, target)
    shutil.rmtree(folder / "libs" / "contracts" / "atlas", ignore_errors=True)
    return folder


def make_builder(context: Path) -> None:
    """Make what an image's build has before it makes wheels: an empty environment, and the build step run in it."""
    subprocess.run([sys.executable, "-m", "venv", context / "builder"], check=True)
    pip, *arguments = BUILD_STEP.split()
    command = [str(context / "builder" / "bin" / pip), *arguments]
    done = subprocess.run(command, check=False, cwd=context, capture_output=True, text=True)
    assert done.returncode == 0, f"{BUILD_STEP}: {done.stdout}{done.stderr}"


def make_wheels(context: Path) -> Path:
    """Make the wheels of a copy of the checkout, with its builder, and return their folder."""
    run(context, "infra/images/wheels.sh", "wheels")
    return context / "wheels"


def install_all(context: Path, wheels: Path) -> dict[str, Path]:
    """Make the environment of each service and job, two at a time, and return their folders by name."""

    def install(name: str) -> Path:
        run(context, "infra/images/install.sh", name, str(context / "environments" / name), str(wheels))
        return context / "environments" / name

    names = (*SERVICES, *JOBS)
    with ThreadPoolExecutor(2) as two:
        return dict(zip(names, two.map(install, names), strict=True))


def run(context: Path, script: str, *arguments: str) -> None:
    """Run one of the images' scripts, as the images do. Fails with what it said."""
    command = ["sh", str(context / script), *arguments]
    tools = {"PYTHON": str(context / "builder" / "bin" / "python"), "UV": str(context / "builder" / "bin" / "uv")}
    done = subprocess.run(
        command, check=False, cwd=context, env={**os.environ, **tools}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


def pinned(lock: Path) -> dict[str, str]:
    """Return the version of each package that a lock names."""
    lines = [line.split(";")[0].rstrip("\\ ") for line in lock.read_text().splitlines() if "==" in line]
    return dict(line.strip().split("==", 1) for line in lines)
