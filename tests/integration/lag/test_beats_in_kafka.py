"""A beat goes the way of the rows: into its table's topic, shard s on partition s."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from atlas_local.stack import LocalStack

from .monitors import monitor

TOPICS = {
    **dict.fromkeys(("entities", "entity_hot_attributes", "entity_attributes"), 10),
    **dict.fromkeys(("attribute_keys", "asset_types", "ingest_batches"), 1),
}
WANTED = {TopicPartition(f"atlas.{table}", shard) for table, shards in TOPICS.items() for shard in range(shards)}


async def test_each_shard_of_each_captured_table_gets_every_beat_on_its_own_partition(stack: LocalStack) -> None:
    stores = {"kafka_bootstrap": stack.kafka_bootstrap, "clickhouse_url": f"{stack.clickhouse_url}/atlas"}
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka_bootstrap, auto_offset_reset="latest")
    await consumer.start()
    try:
        consumer.assign(WANTED)
        await consumer.seek_to_end()
        async with monitor(stack.postgres, **stores) as board, asyncio.timeout(60):
            mine = str(board.evidence.monitor)
            numbers: dict[TopicPartition, list[int]] = {place: [] for place in WANTED}
            while any(len(seen) < 5 for seen in numbers.values()):
                for place, records in (await consumer.getmany(timeout_ms=100)).items():
                    beats = [event for event in map(decoded, records) if event.get("monitor") == mine]
                    assert all(event["shard"] == place.partition for event in beats)
                    assert {event["__table"] for event in beats} <= {f"{place.topic.removeprefix('atlas.')}_beat"}
                    numbers[place] += [event["beat"] for event in beats]
        for seen in numbers.values():
            assert seen == list(range(1, len(seen) + 1))
    finally:
        await consumer.stop()


def decoded(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.value)
    return found
