"""The task that fills the slots of promoted attributes, in one process of ingest at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

import structlog
from atlaskit.errors import AtlasError
from atlaskit.postgres.hot_backfill import Step, await_earlier_writes, backfill_step, backfills_left
from atlaskit.postgres.hot_slots import HotMapping
from atlaskit.postgres.pool import Pool
from atlaskit.postgres.writer import Writer

Opener = Callable[[], AbstractAsyncContextManager[Writer]]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a backfill shares the primary with writes."""

    entities: int  # of one transaction; it holds their rows' locks while it runs
    rest: float  # for each second of a transaction, so many without one
    poll: timedelta  # how often the catalogue is looked at when nothing is to be done


class Backfill:
    """Fills the slots of promotions, one after another. A failure is told, and tried again after `poll`."""

    def __init__(self, pool: Pool, opener: Opener, pace: Pace) -> None:
        self._pool = pool
        self._opener = opener
        self._pace = pace
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that an attribute was promoted: look now."""
        self._wake.set()

    async def run(self) -> NoReturn:
        """Fill the slots of every promotion, for ever."""
        while True:
            try:
                # A connection that writes is a number in the ledger: it is opened only if there is something to write.
                if await backfills_left(self._pool):
                    async with self._opener() as writer:
                        await self._fill(writer)
            except AtlasError as error:
                log.warning("backfill failed", error=str(error))
            self._wake.clear()
            try:
                async with asyncio.timeout(self._pace.poll.total_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _fill(self, writer: Writer) -> None:
        for mapping in await backfills_left(self._pool):
            await await_earlier_writes(writer, mapping.tenant_id)
            log.info("backfill begins or goes on", mapping_id=mapping.mapping_id, tenant_id=mapping.tenant_id)
            while await self._step(writer, mapping) is Step.MORE:
                pass

    async def _step(self, writer: Writer, mapping: HotMapping) -> Step:
        loop = asyncio.get_running_loop()
        began = loop.time()
        step = await backfill_step(writer, mapping, self._pace.entities)
        if step is Step.READY:
            log.info("attribute ready", mapping_id=mapping.mapping_id, tenant_id=mapping.tenant_id)
        elif step is Step.MORE:
            await asyncio.sleep((loop.time() - began) * self._pace.rest)
        return step


@asynccontextmanager
async def backfilling(pool: Pool, opener: Opener, pace: Pace) -> AsyncIterator[Backfill]:
    """Yield the task's handle while it runs. On exit it is cancelled, and a transaction under way rolled back."""
    backfill = Backfill(pool, opener, pace)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(backfill.run(), name="hot-backfill")
        try:
            yield backfill
        finally:
            task.cancel()
