"""The topic that decides who owns the number of an epoch: the first record with a number does, for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from atlaskit.errors import Unavailable
from atlaskit.kafka.errors import bounded, started
from atlaskit.position import SourceIdentity

TOPIC: Final = "atlas.epochs"
_PARTITION: Final = TopicPartition(TOPIC, 0)
_POLL_MS: Final = 500


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One claim to a number; it counts only if no record before it has that number.

    With `withdrawn` it says why nothing is proven in that epoch any more, for ever.
    """

    epoch: int
    identity: SourceIdentity
    withdrawn: str = ""

    def encoded(self) -> bytes:
        """Return the record as JSON; the identifier is text, since it needs more than 53 bits."""
        owner = self.identity
        fields = {"epoch": self.epoch, "system_identifier": str(owner.system_identifier), "timeline": owner.timeline}
        return json.dumps(fields | ({"withdrawn": self.withdrawn} if self.withdrawn else {})).encode()

    @classmethod
    def decoded(cls, text: bytes) -> EpochRecord:
        """Return the record of this JSON. Raises ValueError."""
        try:
            fields = json.loads(text)
            owner = SourceIdentity(int(fields["system_identifier"]), int(fields["timeline"]))
            return cls(int(fields["epoch"]), owner, str(fields.get("withdrawn", "")))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record of an epoch: {text[:80]!r}") from error


async def read_epochs(bootstrap: str, limit: timedelta) -> Sequence[EpochRecord]:
    """Return every record of the topic, oldest first, up to its end at the time of the call.

    Raises Unavailable when Kafka is away or a record cannot be read, since it might own a number; DeadlinePassed after
    `limit`.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(limit.total_seconds() * 1000),
    )
    async with bounded("reading the epochs", limit), started(consumer):
        consumer.assign([_PARTITION])
        end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
        await consumer.seek_to_beginning(_PARTITION)
        records: list[EpochRecord] = []
        while await consumer.position(_PARTITION) < end:
            batches = await consumer.getmany(_PARTITION, timeout_ms=_POLL_MS)
            records += [_decoded(record.value, record.offset) for record in batches.get(_PARTITION, ())]
        return records


async def append_epoch(bootstrap: str, record: EpochRecord, limit: timedelta) -> None:
    """Append the claim, acknowledged by all in-sync brokers. Read the topic afterwards: another may have been before.

    Raises Unavailable or DeadlinePassed; then it may have been appended or not."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=int(limit.total_seconds() * 1000),
    )
    async with bounded("appending an epoch", limit), started(producer):
        await producer.send_and_wait(TOPIC, record.encoded(), partition=_PARTITION.partition)


def _decoded(value: bytes | None, offset: int) -> EpochRecord:
    try:
        return EpochRecord.decoded(value or b"")
    except ValueError as error:
        raise Unavailable(f"record {offset} of topic {TOPIC} cannot be read: {error}") from error
