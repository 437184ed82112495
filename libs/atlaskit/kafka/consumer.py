"""A consumer of partitions assigned by hand: batches in, offsets out when the caller says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from atlaskit.errors import Unavailable
from atlaskit.kafka.errors import LIMIT, bounded, close, started, translated

REQUEST_LIMIT = timedelta(seconds=10)
# Prefetched bytes of one partition; with all partitions this bounds the memory of the consumer.
PARTITION_BYTES = 2 * 1024 * 1024
FETCH_BYTES = 16 * 1024 * 1024


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Record(Protocol):
    """One record: `timestamp` is milliseconds since 1970."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Commit:
    """The next offset to read of a partition and what is remembered with it, at most 4,000 bytes."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Extent:
    """The first offset that a partition still has, and the one after its last."""

    begin: int
    end: int


def never(_: Record) -> bool:
    """Tell of no record that it ends a batch."""
    return False


class Consumer:
    """Reads committed records of its partitions.

    When Kafka does not answer every method raises Unavailable, or DeadlinePassed after `LIMIT`."""

    def __init__(self, driver: AIOKafkaConsumer, bootstrap: str, group: str, partitions: Sequence[Partition]) -> None:
        self._driver = driver
        self._bootstrap = bootstrap
        self._group = group
        self._partitions = {partition: TopicPartition(*partition) for partition in partitions}
        self._held: set[TopicPartition] = set()

    async def extents(self) -> dict[Partition, Extent]:
        """Return what each partition holds now."""
        wanted = [*self._partitions.values()]
        async with bounded("reading the extents of the partitions", LIMIT):
            begins = await self._driver.beginning_offsets(wanted)
            ends = await self._driver.end_offsets(wanted)
        return {partition: Extent(begins[at], ends[at]) for partition, at in self._partitions.items()}

    def seek(self, partition: Partition, offset: int) -> None:
        """Read this partition from `offset` on; what was prefetched is forgotten."""
        self._driver.seek(self._partitions[partition], offset)

    def hold(self, partitions: Collection[Partition]) -> None:
        """Take no records of these partitions until the next call, and again of all others."""
        held = {self._partitions[at] for at in partitions}
        if held != self._held:
            self._driver.resume(*(self._held - held))
            self._driver.pause(*(held - self._held))
            self._held = held

    async def batch(
        self, *, wait: timedelta, gather: timedelta, limit: int, whole: Callable[[Record], bool] = never
    ) -> dict[Partition, list[Record]]:
        """Return the next records, at most about `limit`: those of `gather` from the first one on, none after `wait`.

        It ends before that once each partition that is not held has a record for which `whole` is true. A partition's
        records come in their order, each once unless `seek` goes back. Cancelled, records that were taken are lost for
        this consumer: `seek` or start again from a commit. Raises OffsetLost.
        """
        taken: dict[Any, list[Record]] = {}
        lacking = set(self._partitions.values()) - self._held
        count, loop = 0, asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        with translated("reading records"):
            while True:
                left = max(end - loop.time(), 0.0)
                more = await self._driver.getmany(timeout_ms=int(left * 1000), max_records=limit - count)
                if more and not count:
                    end = loop.time() + gather.total_seconds()
                for at, records in more.items():
                    taken.setdefault(at, []).extend(records)
                    count += len(records)
                    if at in lacking and any(map(whole, records)):
                        lacking.discard(at)
                if not 0 < count < limit or not lacking or loop.time() >= end:
                    break
                await asyncio.sleep(0)
        return {Partition(*at): records for at, records in taken.items() if records}

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        """Remember these offsets for the group. The caller answers for what stands before them."""
        async with bounded("committing offsets", LIMIT):
            await self._driver.commit(
                {self._partitions[at]: OffsetAndMetadata(kept.offset, kept.metadata) for at, kept in commits.items()}
            )


@asynccontextmanager
async def open_consumer(
    bootstrap: str, partitions: Iterable[Partition], *, group: str, client_id: str
) -> AsyncIterator[Consumer]:
    """Yield a consumer of exactly these partitions. Nothing is committed by itself and nobody rebalances.

    A place that Kafka does not have is an error, never a silent jump. Raises Unavailable if Kafka does not answer or a
    topic does not exist yet.
    """
    wanted = list(partitions)
    limit = int(REQUEST_LIMIT.total_seconds() * 1000)
    driver = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id=client_id,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        check_crcs=True,
        fetch_max_wait_ms=100,
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=PARTITION_BYTES,
        request_timeout_ms=limit,
        retry_backoff_ms=100,
        metadata_max_age_ms=60_000,
    )
    try:
        with translated("connecting"):
            await driver.start()
            await _demand_partitions(bootstrap, wanted)
            driver.assign([TopicPartition(*partition) for partition in wanted])
        yield Consumer(driver, bootstrap, group, wanted)
    finally:
        await close(driver, "closing the consumer", REQUEST_LIMIT)


async def _demand_partitions(bootstrap: str, wanted: Sequence[Partition]) -> None:
    limit = int(REQUEST_LIMIT.total_seconds() * 1000)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=limit)
    async with started(admin):
        described = await admin.describe_topics(sorted({at.topic for at in wanted}))
    there = {(topic["topic"], part["partition"]) for topic in described for part in topic["partitions"]}
    missing = [f"{at.topic}-{at.number}" for at in wanted if tuple(at) not in there]
    if missing:
        raise Unavailable(f"Kafka has no partition {', '.join(missing[:5])}; the job that makes the topics has to run")
