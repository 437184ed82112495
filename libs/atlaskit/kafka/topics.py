"""The topics of the platform, made before anything writes: a broker's own choice of partitions would be wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from atlaskit.cdc.topics import CAPTURED
from atlaskit.errors import Unavailable
from atlaskit.kafka.errors import started

_POLL = 0.1  # seconds between two attempts


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with its number of partitions and its own settings."""

    name: str
    partitions: int
    settings: dict[str, str] = field(default_factory=dict)


TOPICS = (
    *(Topic(captured.name, captured.partitions) for captured in CAPTURED),
    # The first record with a number owns it for ever.
    Topic("atlas.epochs", 1, {"retention.ms": "-1", "retention.bytes": "-1"}),
    Topic("atlas.olap_audit", 1, {"cleanup.policy": "compact"}),
)


async def ensure_topics(
    bootstrap: str, topics: Sequence[Topic] = TOPICS, *, replication: int = 1, seconds: float = 30.0
) -> None:
    """Make the topics that do not exist yet, each partition on `replication` brokers.

    Those that do are left as they are. Repeatable. Raises Unavailable with what the broker said, at the latest after
    `seconds`."""
    said = "nothing"
    try:
        async with asyncio.timeout(seconds):
            while True:
                said = await _attempt(bootstrap, topics, replication)
                if said == "made":
                    return
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Unavailable(f"topics not made within {seconds:g} s: {said}; read the broker's log") from None


async def _attempt(bootstrap: str, topics: Sequence[Topic], replication: int) -> str:
    """Return 'made', or what is in the way."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        async with started(client):
            wanted = [NewTopic(t.name, t.partitions, replication, topic_configs=t.settings) for t in topics]
            answer = await client.create_topics(wanted)
    except (KafkaError, OSError) as error:
        return repr(error)
    faults = [(name, for_code(code)) for name, code, *_ in answer.topic_errors]
    fine = (0, TopicAlreadyExistsError.errno)
    refused = [f"{name}: {fault.__name__}" for name, fault in faults if fault.errno not in fine]
    return ", ".join(refused) or "made"
