"""Transactions that the broker was about to end when it was killed: it ends them when it is back (decision 0013)."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from atlas_local import LocalStack
from atlas_local.transactions import end_transaction
from atlaskit.kafka.topics import Topic, ensure_topics

PROGRAM = Path(__file__).with_name("committing.py")
TOPIC, PARTITIONS, WRITERS = "in.flight", 8, 24
WHERE = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]


@asynccontextmanager
async def reader(bootstrap: str, isolation: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def killed_in_mid_commit(bare: LocalStack) -> None:
    """Kill the broker, and then its writers, while each of them commits; return when it is back."""
    arguments = [bare.kafka_bootstrap, TOPIC, str(PARTITIONS), str(WRITERS)]
    writing = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert writing.stdout is not None
        async with asyncio.timeout(60):
            assert await writing.stdout.readline() == b"going\n"
        bare.kafka.kill()
    finally:
        writing.kill()
        await writing.wait()
    await bare.kafka.start()


async def test_no_transaction_hangs_after_a_kill_of_the_broker(
    bare: LocalStack, eventually: Callable[..., Awaitable[None]]
) -> None:
    bootstrap = bare.kafka_bootstrap
    await ensure_topics(bootstrap, [Topic(TOPIC, PARTITIONS)])
    await killed_in_mid_commit(bare)
    for number in range(WRITERS):
        assert await end_transaction(bootstrap, f"writer-{number}", seconds=30)

    async def nothing_is_open() -> None:
        async with reader(bootstrap, "read_committed") as committed, reader(bootstrap, "read_uncommitted") as written:
            assert await committed.end_offsets(WHERE) == await written.end_offsets(WHERE)

    await eventually(nothing_is_open)
