"""Kafka: a broker whose partitions grow, and may lose their tail or head; and the driver that stands for aiokafka."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from checker.sim.process import Process, current

FETCH_WAIT = 0.1


class KafkaRecord:
    """One record as a consumer gets it."""

    __slots__ = ("key", "offset", "timestamp", "value")

    def __init__(self, offset: int, value: bytes | None, timestamp: int, key: bytes | None = None) -> None:
        self.offset, self.value, self.timestamp, self.key = offset, value, timestamp, key


class Log:
    """One partition. `begin` is the first offset that is left; records stand at consecutive offsets."""

    __slots__ = ("begin", "records")

    def __init__(self) -> None:
        self.begin = 0
        self.records: list[KafkaRecord] = []

    @property
    def end(self) -> int:
        return self.begin + len(self.records)

    def append(self, value: bytes | None, timestamp: int, key: bytes | None = None) -> int:
        offset = self.begin + len(self.records)
        self.records.append(KafkaRecord(offset, value, timestamp, key))
        return offset

    def read(self, position: int, limit: int) -> list[KafkaRecord]:
        first = position - self.begin
        return self.records[first : first + limit]

    def lose_tail(self, count: int) -> None:
        if count:
            del self.records[-count:]

    def lose_head(self, count: int) -> None:
        del self.records[:count]
        self.begin += count


class Broker:
    """All topics and groups. What is appended is durable unless a fault takes it."""

    def __init__(self, process: Process, chance: random.Random) -> None:
        self.process, self.chance = process, chance
        self.partitions: dict[TopicPartition, Log] = {}
        self.compacted: set[str] = set()
        self.commits: dict[str, dict[TopicPartition, OffsetAndMetadata]] = {}
        self.readers: list[Consumer] = []
        self.stalled: set[TopicPartition] = set()  # without a leader now

    def create(self, topic: str, partitions: int, *, compacted: bool = False) -> None:
        for number in range(partitions):
            self.partitions[TopicPartition(topic, number)] = Log()
        if compacted:
            self.compacted.add(topic)

    def recreate(self, topic: str) -> None:
        """Delete a topic and make it anew: the same partitions, empty, from offset 0."""
        for at in self.partitions:
            if at.topic == topic:
                self.partitions[at] = Log()

    def compact(self, topic: str) -> None:
        """Keep the last record of each key. Offsets stay; what is gone is skipped."""
        for at, log in self.partitions.items():
            if at.topic == topic:
                last = {record.key: record.offset for record in log.records}
                for record in log.records:
                    if last[record.key] != record.offset:
                        record.value = None  # a reader sees nothing of it: see Consumer

    def append(self, records: Iterable[tuple[TopicPartition, bytes | None]], timestamp: int) -> None:
        """Append all at once, as one committed transaction."""
        for at, value in records:
            self.partitions[at].append(value, timestamp)
        self.notify()

    def notify(self) -> None:
        for reader in self.readers:
            reader.wake()

    def close(self, reader: Consumer) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class _Client:
    """What all clients of the broker share: a way there and back that may be cut, and a patience."""

    def __init__(self, broker: Broker, request_timeout: float) -> None:
        self.broker, self.timeout = broker, request_timeout
        self.process = current()

    async def ask(self, answer: Any, what: str) -> Any:
        """The result of `answer()` at the broker, after the way there and back."""
        loop = self.process.loop
        done: asyncio.Future[Any] = loop.create_future()
        broker, world = self.broker, self.process.world
        if not broker.process.alive:
            await asyncio.sleep(0.001)
            raise KafkaConnectionError(f"{what}: no broker")

        def serve() -> None:
            try:
                result, error = answer(), None
            except Exception as failure:  # noqa: BLE001
                result, error = None, failure
            world.send(broker.process, self.process, _settle, done, result, error, extra=0.0005)

        world.send(self.process, broker.process, serve)
        try:
            async with asyncio.timeout(self.timeout):
                return await done
        except TimeoutError:
            raise KafkaTimeoutError(what) from None


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if not done.done():
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)


class Consumer(_Client):
    """AIOKafkaConsumer, of partitions assigned by hand."""

    def __init__(self, broker: Broker, **options: Any) -> None:
        super().__init__(broker, options.get("request_timeout_ms", 10_000) / 1000)
        self.group: str | None = options.get("group_id")
        self.reset: str = options.get("auto_offset_reset", "latest")
        self.positions: dict[TopicPartition, int | None] = {}
        self._data: asyncio.Future[None] | None = None
        self._paused: set[TopicPartition] = set()

    async def start(self) -> None:
        await self.ask(lambda: None, "connecting")
        self.broker.readers.append(self)
        self._death = self.process.hear_death(lambda: self.broker.close(self))

    async def stop(self) -> None:
        self.broker.close(self)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        wanted = list(partitions)
        self.positions = {at: self.positions.get(at) for at in wanted}

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def seek(self, at: TopicPartition, offset: int) -> None:
        self.positions[at] = offset

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        for at in partitions or tuple(self.positions):
            self.positions[at] = self.broker.partitions[at].begin

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused.difference_update(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    async def position(self, at: TopicPartition) -> int:
        found = self.positions[at]
        if found is None:
            found = self.positions[at] = self.broker.partitions[at].begin
        return found

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(partitions)
        found: dict[TopicPartition, int] = await self.ask(
            lambda: {at: self.broker.partitions[at].begin for at in wanted}, "reading offsets"
        )
        return found

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(partitions)
        found: dict[TopicPartition, int] = await self.ask(
            lambda: {at: self.broker.partitions[at].end for at in wanted}, "reading offsets"
        )
        return found

    async def committed(self, at: TopicPartition) -> int | None:
        kept = await self.ask(lambda: self.broker.commits.get(self.group or "", {}).get(at), "reading commits")
        return None if kept is None else kept.offset

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        kept = dict(offsets)
        await self.ask(lambda: self.broker.commits.setdefault(self.group or "", {}).update(kept), "committing")

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[KafkaRecord]]:
        loop = self.process.loop
        end, wanted = loop.time() + timeout_ms / 1000, partitions or tuple(self.positions)
        while True:
            if self._reaches():
                found = self._take(wanted, max_records or 1 << 30)
                if found:
                    link = self.process.world.link(self.process.name, self.broker.process.name)
                    await asyncio.sleep(2 * link.base * link.slow)
                    return found
            left = end - loop.time()
            if left <= 1e-9:
                await asyncio.sleep(0.0003)  # a look takes time, or a caller that looks again and again would stop it
                return {}
            self._data = loop.create_future()
            timer = loop.call_later(left, _wake, self._data)
            await self._data
            timer.cancel()
            self._data = None

    def _reaches(self) -> bool:
        broker = self.broker.process
        there = self.process.world.passes(self.process.name, broker.name)
        return (
            there
            and broker.alive
            and not broker.loop.halted
            and self.process.world.passes(broker.name, self.process.name)
        )

    def _take(self, wanted: Iterable[TopicPartition], limit: int) -> dict[TopicPartition, list[KafkaRecord]]:
        found: dict[TopicPartition, list[KafkaRecord]] = {}
        lost: dict[TopicPartition, int] = {}
        partitions, positions = self.broker.partitions, self.positions
        for at in wanted:
            log = partitions[at]
            if positions.get(at) == log.begin + len(log.records):
                continue  # read to its end, as most are most of the time
            if at in self._paused or at in self.broker.stalled or limit <= 0:
                continue
            position = self._position(at)
            if position is None:
                lost[at] = self.positions[at] or 0
            elif records := log.read(position, limit):
                self.positions[at] = records[-1].offset + 1
                kept = [one for one in records if one.value is not None or at.topic not in self.broker.compacted]
                limit -= len(kept)
                found |= {at: kept} if kept else {}
        if lost and not found:
            raise OffsetOutOfRangeError(lost)
        return found

    def _position(self, at: TopicPartition) -> int | None:
        """Where to read on; None: that place is gone, and nobody said where else."""
        log, position = self.broker.partitions[at], self.positions.get(at)
        if position is None:
            return log.begin
        if log.begin <= position <= log.end:
            return position
        if self.reset == "none":
            return None
        return log.begin if self.reset == "earliest" else log.end

    def wake(self) -> None:
        data = self._data
        if data is not None and not data.done() and not self.process.loop.dead:
            self.process.loop.call_later(0.0005, _wake, data)


def _wake(data: asyncio.Future[None]) -> None:
    if not data.done():
        data.set_result(None)


class Producer(_Client):
    """AIOKafkaProducer that is acknowledged by all replicas."""

    def __init__(self, broker: Broker, **options: Any) -> None:
        super().__init__(broker, options.get("request_timeout_ms", 10_000) / 1000)

    async def start(self) -> None:
        await self.ask(lambda: None, "connecting")

    async def stop(self) -> None:
        return

    async def flush(self) -> None:
        return

    async def send_and_wait(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> Any:
        at = TopicPartition(topic, partition or 0)
        stamp = int(self.process.loop.time() * 1000)

        def append() -> int:
            offset = self.broker.partitions[at].append(value, stamp, key)
            self.broker.notify()
            return offset

        return await self.ask(append, "producing")

    async def send(self, topic: str, value: bytes | None = None, key: bytes | None = None, **options: Any) -> Any:
        sent = asyncio.ensure_future(self.send_and_wait(topic, value, key, options.get("partition")))
        await asyncio.sleep(0)
        return sent


class Admin(_Client):
    """AIOKafkaAdminClient, for the two questions that are asked."""

    def __init__(self, broker: Broker, **options: Any) -> None:
        super().__init__(broker, options.get("request_timeout_ms", 10_000) / 1000)

    async def start(self) -> None:
        await self.ask(lambda: None, "connecting")

    async def close(self) -> None:
        return

    async def list_consumer_group_offsets(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        wanted = None if partitions is None else list(partitions)

        def read() -> dict[TopicPartition, OffsetAndMetadata]:
            kept = self.broker.commits.get(group, {})
            return {at: kept.get(at, OffsetAndMetadata(-1, "")) for at in (kept if wanted is None else wanted)}

        found: dict[TopicPartition, OffsetAndMetadata] = await self.ask(read, "reading commits")
        return found

    async def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            numbers: dict[str, list[int]] = {topic: [] for topic in topics}
            for at in self.broker.partitions:
                if at.topic in numbers:
                    numbers[at.topic].append(at.partition)
            return [
                {"topic": topic, "partitions": [{"partition": number} for number in found]}
                for topic, found in numbers.items()
            ]

        described: list[dict[str, Any]] = await self.ask(read, "describing topics")
        return described
