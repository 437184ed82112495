"""The fakes in the place of the drivers, and one source of chance and time, for the length of a run."""

from __future__ import annotations

import gc
import logging
import os
import random
import re
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from types import ModuleType
from typing import Any
from unittest.mock import patch

import asyncpg
import clickhouse_connect
import structlog
from atlas_lag_monitor import evidence
from checker.sim import kafka, services
from checker.sim.clickhouse import Client
from checker.sim.pg import driver
from checker.sim.process import current
from checker.sim.rpc import Channel
from checker.sim.world import SimWorld

_within: list[bool] = []  # of an open block of `quiet`
WALL = 1_780_000_000.0  # seconds since 1970 at virtual second 0, for those who ask the machine


@contextmanager
def installed(world: SimWorld, seed: int) -> Iterator[None]:
    """Let every driver lead into this world. Not for two runs at once in one process."""
    urandom = random.Random(seed ^ 0x5EED)
    scheduler = world.scheduler
    with ExitStack() as stack:

        def put(target: Any, name: str, value: Any) -> None:
            stack.enter_context(patch.object(target, name, value))

        put(os, "urandom", urandom.randbytes)
        put(time, "monotonic", lambda: scheduler.now)
        put(time, "time", lambda: WALL + scheduler.now)
        put(time, "time_ns", lambda: int((WALL + scheduler.now) * 1e9))
        put(asyncpg, "connect", partial(_connect, world))
        put(asyncpg, "create_pool", partial(_create_pool, world))
        put(clickhouse_connect, "get_client", lambda **_: Client(world.engine))
        fakes: dict[str, Any] = {
            "AIOKafkaConsumer": partial(_client, world, kafka.Consumer),
            "AIOKafkaProducer": partial(_client, world, kafka.Producer),
            "AIOKafkaAdminClient": partial(_client, world, kafka.Admin),
        }
        fakes |= {
            "SystemClock": lambda: current().clock,
            "serving": services.serving,
            "open_tracing": services.open_tracing,
            "send_freshness": services.send_freshness,
            "open_channel": partial(_open_channel, world),
        }
        for module in _modules():
            for name, fake in fakes.items():
                if name in vars(module):
                    put(module, name, fake)
        put(evidence, "MARKERS_IN_A_READING", world.knobs.markers)
        random.seed(seed)
        yield


def _modules() -> list[ModuleType]:
    """The modules of the product: what they imported by name is replaced where they use it."""
    of_product = re.compile(r"atlaskit\.kafka|atlas_(ingest|lag_monitor|query_router|olap_sink)\b")
    return [module for name, module in sorted(sys.modules.items()) if of_product.match(name)]


@asynccontextmanager
async def _open_channel(world: SimWorld, address: str, **_: Any) -> AsyncIterator[Channel]:
    yield Channel(current(), world.processes[address.split(":", maxsplit=1)[0]])


@contextmanager
def quiet() -> Iterator[None]:
    """No logs, no collector of garbage, and no words about what a killed process left behind.

    Drop the world before the block ends: what it leaves is collected here. Within another such block, at the end of
    that one: a collection looks at all that the process has imported, too.
    """
    if _within:
        yield
        return
    before, collecting, hook = structlog.get_config(), gc.isenabled(), sys.unraisablehook
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    gc.disable()
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    _within.append(True)
    try:
        yield
    finally:
        _within.pop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a killed process never awaits what it was about to
            gc.collect()
        logging.disable(logging.NOTSET)
        sys.unraisablehook = hook
        if collecting:
            gc.enable()
        structlog.configure(**before)


async def _connect(
    world: SimWorld, dsn: str, *, timeout: float = 60.0, server_settings: dict[str, str] | None = None, **_: Any
) -> driver.Connection:
    server = world.resolve(current(), dsn)
    return await driver.connect(server, world.statements, server_settings or {}, timeout)


def _create_pool(
    world: SimWorld,
    dsn: str,
    *,
    max_size: int,
    timeout: float = 60.0,
    server_settings: dict[str, str] | None = None,
    **_: Any,
) -> driver.Pool:
    opening: Callable[[], Any] = lambda: _connect(world, dsn, timeout=timeout, server_settings=server_settings)  # noqa: E731
    return driver.Pool(opening, max_size)


def _client(world: SimWorld, kind: Callable[..., Any], *_: Any, **options: Any) -> Any:
    return kind(world.broker, **options)
