"""A primary with one ingest of its own, both there to be killed: what other tests share is left alone."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from atlas_client import AtlasClient
from atlas_local.platform import grpc_ready
from atlas_local.ports import HOST, assign_in
from atlas_local.postgres import PostgresServer, PostgresTuning
from atlas_local.process import ChildProcess, Command
from atlas_local.scratch import register_first_epoch, scratch_cluster

from faults.book import Attempts, Book, counted_client, keep_cancelling, keep_writing, until_acknowledged

WRITERS = 12

_tenants = itertools.count(1)


@dataclass(frozen=True)
class Site:
    """The parts, and a client that counts what it sends."""

    primary: PostgresServer
    ingest: ChildProcess
    address: str
    client: AtlasClient
    attempts: Attempts

    async def book(self) -> Book:
        """The book of a new tenant."""
        return Book(await self.client.create_tenant(f"faults/{next(_tenants)}"))


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    folder.mkdir()
    tuning = PostgresTuning(shared_buffers="64MB", max_wal_size="1GB")
    async with scratch_cluster(tuning, replica=False) as cluster:
        primary = cluster.primary
        await register_first_epoch(primary.dsn())
        address = f"{HOST}:{assign_in(folder, ('ingest',), {})['ingest']}"
        environment = {"ATLAS_POSTGRES_DSN": primary.dsn("atlas_ingest"), "ATLAS_ADDRESS": address}
        command = Command([sys.executable, "-m", "atlas_ingest"], environment)
        ingest = ChildProcess("ingest", command, folder / "ingest.log", lambda: grpc_ready(address), 30.0)
        await ingest.start()
        try:
            async with counted_client(address) as (client, attempts):
                yield Site(primary, ingest, address, client, attempts)
        finally:
            ingest.kill()


@asynccontextmanager
async def load(at: Site, *, pause: float = 0.0, cancelling: int = 0) -> AsyncIterator[Book]:
    """Yield the book of writers that go on while the context is open; at its end each has the answer it waited for."""
    book, over, numbers = await at.book(), asyncio.Event(), itertools.count()
    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(keep_writing(at.client, book, numbers, over, pause))
        for seed in range(cancelling):
            group.create_task(keep_cancelling(at.client, book, numbers, over, seed))
        try:
            await until_acknowledged(book, 50)
            yield book
            await until_acknowledged(book, 50)
        finally:
            over.set()
