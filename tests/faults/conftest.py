"""What tests of faults share; when one fails, its report says how the parts on the way to the copies were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import httpx
import pytest
from atlas_local.launch import Launched
from atlas_local.process import ChildProcess
from atlas_local.stack import LocalStack
from checker.processes.world import World, open_world

from faults.site import Site, site

LINES = 40


@pytest.fixture(scope="package")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A stack with a relay on every link and services that can be made to fail; of these tests alone."""
    folder = tmp_path_factory.mktemp("world")
    folder.chmod(0o711)
    async with open_world(folder) as opened:
        yield opened


@pytest.fixture(scope="package")
async def one_site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("faults") / "here") as one:
        yield one


@pytest.fixture
async def here(one_site: Site) -> Site:
    """A primary and an ingest that these tests may kill; what a failed test left dead is started again."""
    await one_site.primary.start()
    await one_site.ingest.start()
    return one_site


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        found = getattr(item, "funcargs", {})
        if isinstance(stack := found.get("stack"), LocalStack):
            report.sections += sections_of_stack(stack)
        if isinstance(here := found.get("here"), Site):
            report.sections += [
                (f"{one.name}: end of its log", one.log_tail(LINES)) for one in (here.ingest, here.primary)
            ]
        if isinstance(atlas := found.get("atlas"), Launched):
            report.sections += [(f"{one.name}: end of its log", one.log_tail(LINES)) for one in services(atlas)]
    return report


def services(atlas: Launched) -> list[ChildProcess]:
    return [atlas.process(name) for name in ("ingest", "olap-sink", "lag-monitor")]


def sections_of_stack(stack: LocalStack) -> list[tuple[str, str]]:
    parts = [f"{part.name}: {'runs' if part.running else 'does not run'}" for part in stack.parts]
    logs = [(f"{part.name}: end of its log", part.log_tail(LINES)) for part in (stack.connect, stack.kafka)]
    return [
        ("parts of the stack", "\n".join(parts)),
        ("connectors", connectors(stack.connect_url)),
        ("restarts of connectors", text_of(stack.connectors_log)),
        *logs,
    ]


def connectors(url: str) -> str:
    try:
        return httpx.get(f"{url}/connectors", params={"expand": "status"}, timeout=5.0).text
    except httpx.HTTPError as error:
        return f"no answer: {error!r}"


def text_of(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else "none"
