"""Transactions that a killed writer left open in Kafka."""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from atlaskit.kafka.errors import ended


async def end_transaction(bootstrap: str, transactional_id: str, *, seconds: float = 10.0) -> bool:
    """Abort what the writer of this id left open, fence that writer off, and return whether the broker did so in time.

    Only for a writer that is known to be dead: one that still runs fails at its next write."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
    try:
        async with asyncio.timeout(seconds):
            await producer.start()  # takes over the id, which is what aborts
    except (KafkaError, OSError, TimeoutError):
        return False
    else:
        return True
    finally:
        with contextlib.suppress(KafkaError, OSError):
            await ended(producer.stop())
