"""The real thing with a relay on every link: the embedded stack, the services over it, and the clients' channels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas_local.faults.failover import Pair
from atlas_local.faults.links import Links, open_links
from atlas_local.launch import Launched, launched
from atlas_local.migrations import apply_migrations
from atlas_local.process import until
from atlas_local.stack import LocalStack, StackOptions, local_stack
from grpc import aio

FAULTY = Path(__file__).with_name("faulty.py")
SERVICES = ("ingest", "query-router", "lag-monitor", "olap-sink")
# A channel gives up what does not answer as soon as a caller of a campaign does.
_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 32 << 20),
]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a fault can befall, and the way in."""

    stack: LocalStack
    atlas: Launched
    links: Links
    ingest: aio.Channel
    query: aio.Channel
    folder: Path
    pair: Pair

    def step_clock(self, service: str, seconds: float) -> None:
        """Let the wall clock of a service be wrong by so many seconds from now on."""
        (self.folder / f"{service}.clock").write_text(str(seconds))

    async def lose_row(self, topic: str, limit: float = 30.0) -> dict[str, Any]:
        """Let the sink lose the next row of a topic that it reads, and return what it was once it is lost.

        Raises TimeoutError if none came within `limit` seconds; then none will be lost."""
        told, report = self.folder / "olap-sink.lose", self.folder / "olap-sink.lost"
        report.unlink(missing_ok=True)
        told.write_text(topic)
        try:
            async with asyncio.timeout(limit):
                await until(report.exists, every=0.01)
        finally:
            told.unlink(missing_ok=True)
        lost: dict[str, Any] = json.loads(report.read_text())
        return lost


@asynccontextmanager
async def open_world(folder: Path, seed: int = 0) -> AsyncIterator[World]:
    """Yield a world of its own; its logs lie below `folder`, and nothing of it runs on."""
    programs = {service: [str(FAULTY), str(folder), service] for service in SERVICES}
    async with open_links(seed) as links, local_stack(StackOptions(links=links)) as stack:
        await apply_migrations(stack)
        async with (
            launched(stack, directory=folder / "services", links=links, programs=programs) as atlas,
            aio.insecure_channel(links["client->ingest"].address, options=_OPTIONS) as ingest,
            aio.insecure_channel(links["client->query-router"].address, options=_OPTIONS) as query,
        ):
            yield World(stack, atlas, links, ingest, query, folder, Pair.of(stack))
