"""Who is cancelled while the real driver of Kafka stops is cancelled, at whatever point it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from atlas_local import LocalStack
from atlaskit.kafka.errors import started

TURNS = 200  # of the loop; every driver has stopped long before


async def cancelled_at(turn: int, driver: Any) -> str:
    """Cancel a task so many turns of the loop after its driver began to stop; return how it ended."""
    stopping = asyncio.Event()

    async def work() -> None:
        async with started(driver):
            stopping.set()

    task = asyncio.create_task(work())
    await stopping.wait()
    for _ in range(turn):
        await asyncio.sleep(0)
    if task.done():
        return "too late"
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.done()
    return "cancelled" if task.cancelled() else "went on"


@pytest.mark.parametrize("kind", [AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient])
async def test_a_cancellation_is_never_lost_in_a_driver_that_stops(bare: LocalStack, kind: type[Any]) -> None:
    ends: list[str] = []
    while len(ends) < TURNS and "too late" not in ends:
        ends.append(await cancelled_at(len(ends), kind(bootstrap_servers=bare.kafka_bootstrap)))
    assert set(ends) == {"cancelled", "too late"}, ends
