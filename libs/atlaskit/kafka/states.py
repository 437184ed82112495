"""A compacted topic as a map: the last value of each key, written and read whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from atlaskit.kafka.errors import LIMIT, bounded, close, started, translated

_POLL_MS: Final = 500


class States:
    """Values by key in the one partition of a compacted topic. Each call raises Unavailable or DeadlinePassed."""

    def __init__(self, producer: AIOKafkaProducer, bootstrap: str, topic: str) -> None:
        self._producer = producer
        self._bootstrap = bootstrap
        self._partition = TopicPartition(topic, 0)

    async def save(self, values: Mapping[str, bytes]) -> None:
        """Return once all in-sync brokers have every value. After an error some of them may be there."""
        async with bounded("writing states", LIMIT):
            sent = [
                await self._producer.send(self._partition.topic, value, key=key.encode(), partition=0)
                for key, value in values.items()
            ]
            await asyncio.gather(*sent)

    async def load(self, prefix: str) -> dict[str, bytes]:
        """Return the last value of each key that begins with the prefix, as of the topic's end when called."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        async with bounded("reading states", LIMIT), started(consumer):
            consumer.assign([self._partition])
            return await self._read(consumer, prefix.encode())

    async def _read(self, consumer: AIOKafkaConsumer, prefix: bytes) -> dict[str, bytes]:
        end = (await consumer.end_offsets([self._partition]))[self._partition]
        await consumer.seek_to_beginning(self._partition)
        values: dict[str, bytes] = {}
        while await consumer.position(self._partition) < end:
            taken = await consumer.getmany(self._partition, timeout_ms=_POLL_MS)
            for record in taken.get(self._partition, ()):
                if record.key and record.key.startswith(prefix):
                    values[record.key.decode()] = record.value or b""
        return {key: value for key, value in values.items() if value}


@asynccontextmanager
async def open_states(bootstrap: str, topic: str) -> AsyncIterator[States]:
    """Yield the map that this topic holds. Raises Unavailable if Kafka does not answer."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5)
    try:
        with translated("connecting"):
            await producer.start()
        yield States(producer, bootstrap, topic)
    finally:
        await close(producer, "closing the producer", LIMIT)
