"""One embedded stack, and one set of services over it, for all the tests that ask for them."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from atlas_client import AtlasClient, Identity, Tenant
from atlas_local.launch import Launched, launched
from atlas_local.migrations import apply_migrations
from atlas_local.stack import LocalStack, StackOptions, local_stack
from doubles.state_of_stack import state_of

_last_words: list[str] = []  # of the shared stack, at the first failure of a test that has it
_fallen: list[str] = []  # parts of it that ended by themselves


def pytest_configure() -> None:
    """Let what the tests start be interrupted, also where the run itself was started in the background of a script."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Function, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Report a failure without a collection of garbage meanwhile; after the first, ask the shared stack how it is.

    A report parses source. If a finalizer logs an exception meanwhile, that parses source too, and Python before
    3.11.8 takes the inner parse for an error of the outer one, which would end the whole run."""
    if call.excinfo is not None:
        gc.collect()
        gc.disable()
    try:
        outcome: Any = yield
    finally:
        gc.enable()
    stack, atlas = item.funcargs.get("stack"), item.funcargs.get("atlas")
    if isinstance(stack, LocalStack) and outcome.get_result().failed and not _last_words:
        asked = state_of(stack, atlas if isinstance(atlas, Launched) else None)
        with ThreadPoolExecutor(1) as aside:  # the loop of the tests is this thread's
            _last_words.extend([f"The stack after {item.name}:", *aside.submit(asyncio.run, asked).result()])


def pytest_unconfigure() -> None:
    """Say how the stack was at the very end, where who has only the end of the output finds it."""
    if _last_words or _fallen:
        print(*_last_words, *_fallen, sep="\n  ")  # noqa: T201


@pytest.fixture(scope="session", autouse=True)
def without_the_shells_settings() -> None:
    """A developer's own settings must not change a result."""
    for name in [name for name in os.environ if name.startswith("ATLAS_") and name != "ATLAS_MAVEN_REPOSITORY"]:
        del os.environ[name]


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[LocalStack]:
    """The embedded stack with its schema; shared, so a test makes tenants of its own and heals what it breaks."""
    async with local_stack(StackOptions(revived=_fallen.append)) as running:
        await apply_migrations(running)
        yield running


@pytest.fixture(scope="session")
async def atlas(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Launched]:
    """Every service over the stack; shared likewise."""
    directory = tmp_path_factory.mktemp("services")
    async with launched(stack, directory=directory, sample_ratio=1.0, metrics=True) as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def client(atlas: Launched) -> AsyncIterator[AtlasClient]:
    """The client library, connected to the services."""
    async with AtlasClient.connect(ingest=atlas.ingest, query=atlas.query) as connected:
        yield connected


@pytest.fixture
def new_tenant(client: AtlasClient) -> Callable[..., Awaitable[Tenant]]:
    """Register a tenant that is this test's own."""

    async def register(identity: Identity = Identity.KEYED, attribute_key_quota: int = 0) -> Tenant:
        return await client.create_tenant(f"test/{next(_numbers)}/", identity, attribute_key_quota=attribute_key_quota)

    return register


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[None]]:
    """Wait until a condition holds, looking again and again; fail with its last failure when the time is over."""

    async def wait(condition: Callable[[], Awaitable[None]], seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds * 2):
            end = asyncio.get_running_loop().time() + seconds
            while True:
                try:
                    return await condition()
                except AssertionError:
                    if asyncio.get_running_loop().time() > end:
                        raise
                await asyncio.sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return Path(__file__).parents[1]
