"""Every client loses the service in one instant and comes back in the same one: all are served, none storms it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from atlas_client import AtlasClient
from atlas_client.budget import MOST, PER_SECOND, SHARE
from atlas_local.process import until

from faults.book import Attempts, Book, counted_client, expect_exactly_once, write_until_acknowledged
from faults.site import Site

CLIENTS = 200  # each with a connection of its own
RECOVERY = 5.0  # seconds from the service's readiness until 99 of 100 have their answer


async def each_writes(clients: list[tuple[AtlasClient, Attempts]], book: Book, first: int) -> list[float]:
    """Let each client write one batch and return when each was acknowledged, in the loop's seconds, sorted."""

    async def one(client: AtlasClient, number: int) -> float:
        await write_until_acknowledged(client, book, number)
        return asyncio.get_running_loop().time()

    return sorted(await asyncio.gather(*(one(client, first + place) for place, (client, _) in enumerate(clients))))


async def test_two_hundred_clients_whose_service_was_killed_are_all_served_again_within_seconds(here: Site) -> None:
    book = await here.book()
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(counted_client(here.address)) for _ in range(CLIENTS)]
        await each_writes(clients, book, 0)
        here.ingest.kill()
        before = [attempts.count for _, attempts in clients]
        calls, killed = book.calls, asyncio.get_running_loop().time()
        writing = asyncio.create_task(each_writes(clients, book, CLIENTS))
        async with asyncio.timeout(30):  # nobody is left who has not run against the closed door
            await until(lambda: all(a.count > had for (_, a), had in zip(clients, before, strict=True)), every=0.01)
        await here.ingest.start()
        ready, process = asyncio.get_running_loop().time(), here.ingest.pid
        done = await asyncio.wait_for(writing, 60)
        made, calls = sum(attempts.count for _, attempts in clients) - sum(before), book.calls - calls
    waited = [max(at - ready, 0.0) for at in done]
    p99 = waited[int(0.99 * CLIENTS) - 1]
    told = f"half served after {waited[CLIENTS // 2]:.2f} s, p99 {p99:.2f} s, {calls} calls, {made} attempts"
    print(f"{CLIENTS} clients: {told}")  # noqa: T201
    assert p99 < RECOVERY
    # What each client may repeat: what it had saved up, what its calls earned, and what came with time.
    assert made - calls <= CLIENTS * (MOST + (done[-1] - killed) * PER_SECOND) + calls * SHARE
    assert here.ingest.running
    assert here.ingest.pid == process
    assert set(book.acknowledged) == book.sent
    await expect_exactly_once(here.primary.dsn(), book)
