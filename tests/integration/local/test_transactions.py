"""Transactions that the broker was about to end when it was killed: it ends them when it is back (decision 0013)."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from atlas_local import LocalStack
from atlas_local.transactions import end_transaction
from atlaskit.kafka.errors import started
from atlaskit.kafka.topics import Topic, ensure_topics

PROGRAM = Path(__file__).with_name("committing.py")
TOPIC, PARTITIONS, WRITERS = "in.flight", 8, 24
WHERE = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]


async def ends(bootstrap: str, isolation: str) -> dict[TopicPartition, int]:
    """Where each partition ends for a reader of this isolation."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation)
    async with started(consumer):
        return dict(await consumer.end_offsets(WHERE))


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
        assert await ends(bootstrap, "read_committed") == await ends(bootstrap, "read_uncommitted")

    await eventually(nothing_is_open)
