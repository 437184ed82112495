"""Which partitions a process reads, of those that the processes of a group divide among themselves. Pure."""

from __future__ import annotations

from collections.abc import Collection

from atlaskit.cdc.topics import CAPTURED, LEDGER
from atlaskit.kafka.consumer import Partition
from atlaskit.model import SHARD_COUNT

LEDGER_PARTITION = Partition(LEDGER.name, 0)
EVERY_SHARD = frozenset(range(SHARD_COUNT))


def partitions_of(shards: Collection[int]) -> tuple[Partition, ...]:
    """Return the partitions of these shards in every topic, and that of the ledger, which each process reads whole."""
    shared = (Partition(topic.name, number) for topic in CAPTURED for number in range(topic.partitions))
    return tuple(at for at in shared if at.number in shards or at == LEDGER_PARTITION)
