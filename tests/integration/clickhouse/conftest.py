"""The front as a process of its own, shared by the tests; and one that a test may kill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from doubles.front import Front, running


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One front with the schema, shared: tests use tenants or tables of their own."""
    for started in running(Front(tmp_path_factory.mktemp("front"))):
        started.migrate()
        yield started


@pytest.fixture
def own_front(tmp_path: Path) -> Iterator[Front]:
    """A front that a test may kill. It takes two statements at a time and small bodies."""
    yield from running(Front(tmp_path / "own", ("--max-running", "2", "--max-body-bytes", "1000000")))


@pytest.fixture(scope="session")
async def clickhouse(front: Front) -> AsyncIterator[ClickHouse]:
    """The library over the shared front."""
    async with open_clickhouse(f"{front.url}/atlas") as opened:
        yield opened


@pytest.fixture
def http(front: Front) -> Iterator[httpx.Client]:
    """Bare HTTP to the shared front."""
    with httpx.Client(base_url=front.url, timeout=30) as client:
        yield client
