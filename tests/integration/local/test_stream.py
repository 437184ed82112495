"""From a committed row to its partition in Kafka, and on through the death of each part on the way."""

import json
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from atlas_local import LocalStack
from atlas_local.connect import GROUP
from atlas_local.transactions import end_transaction
from atlaskit.kafka.connector import CONNECTOR

SHARDS = range(10)
ids: Iterator[int] = count(1)


async def insert(bare: LocalStack, folder: Path, rows: int) -> set[int]:
    """Commit rows over all shards, as a single statement, and return their ids."""
    new = [next(ids) for _ in range(rows)]
    values = ", ".join(f"({i}, {i % 10}, 'row {i}')" for i in new)
    statement = folder / "insert.sql"
    statement.write_text(f"INSERT INTO entities (id, shard, note) VALUES {values};")
    await bare.primary.run_file(statement)
    return set(new)


async def execute(bare: LocalStack, folder: Path, text: str) -> None:
    statement = folder / "statement.sql"
    statement.write_text(text)
    await bare.primary.run_file(statement)


async def read(
    bare: LocalStack, topic: str, enough: int, *, table: str, seconds: int = 40
) -> list[tuple[int, dict[str, Any]]]:
    """Committed (partition, row) of a table in a topic, from the beginning until there are enough."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bare.kafka_bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    partitions = SHARDS if topic == "atlas.entities" else range(1)
    consumer.assign([TopicPartition(topic, partition) for partition in partitions])
    found: list[tuple[int, dict[str, Any]]] = []
    try:
        for _ in range(seconds * 2):
            batch = await consumer.getmany(timeout_ms=500)
            for partition, records in batch.items():
                rows = [json.loads(record.value) for record in records]
                found += [(partition.partition, row) for row in rows if row["__table"] == table]
            if len(found) >= enough:
                return found
    finally:
        await consumer.stop()
    raise AssertionError(f"{len(found)} of {enough} rows of {table}")


async def test_a_row_arrives_on_the_partition_of_its_shard(bare: LocalStack, tmp_path: Path) -> None:
    new = await insert(bare, tmp_path, 40)
    rows = await read(bare, "atlas.entities", len(new), table="entities")
    assert {row["id"] for _, row in rows} >= new
    assert all(partition == row["shard"] for partition, row in rows)
    assert {partition for partition, _ in rows} == set(SHARDS)


async def test_a_beat_arrives_in_the_topic_and_on_the_partition_of_its_table(bare: LocalStack, tmp_path: Path) -> None:
    await execute(bare, tmp_path, "INSERT INTO entities_beat SELECT s, 1 FROM generate_series(0, 9) s;")
    beats = await read(bare, "atlas.entities", 10, table="entities_beat")
    assert sorted((partition, row["shard"]) for partition, row in beats) == [(s, s) for s in SHARDS]


async def test_an_updated_beat_keeps_its_partition(bare: LocalStack, tmp_path: Path) -> None:
    await execute(bare, tmp_path, "UPDATE entities_beat SET beat = 2;")
    beats = await read(bare, "atlas.entities", 20, table="entities_beat")
    assert {(partition, row["shard"]) for partition, row in beats if row["beat"] == 2} == {(s, s) for s in SHARDS}


async def test_a_table_of_one_partition_is_not_routed_by_shard(bare: LocalStack, tmp_path: Path) -> None:
    await execute(bare, tmp_path, "INSERT INTO attribute_keys VALUES (1, 0, 'temperature'), (2, 0, 'pressure');")
    rows = await read(bare, "atlas.attribute_keys", 2, table="attribute_keys")
    assert [(partition, row["attribute_key"]) for partition, row in rows] == [(0, "temperature"), (0, "pressure")]


async def test_a_delete_is_seen_and_says_so(bare: LocalStack, tmp_path: Path) -> None:
    await execute(bare, tmp_path, "DELETE FROM attribute_keys WHERE id = 2;")
    rows = await read(bare, "atlas.attribute_keys", 3, table="attribute_keys")
    assert (rows[2][1]["__op"], rows[2][1]["__deleted"], rows[2][1]["id"]) == ("d", "true", 2)


@pytest.mark.parametrize("name", ["connect", "kafka", "primary", "replica"])
async def test_no_row_is_lost_or_doubled_when_a_part_is_killed(bare: LocalStack, tmp_path: Path, name: str) -> None:
    before = await insert(bare, tmp_path, 200)
    part = next(part for part in bare.parts if part.name == name)
    part.kill()
    assert not part.running
    await part.start()
    after = await insert(bare, tmp_path, 200)
    last = max(after)
    rows = await read(bare, "atlas.entities", last, table="entities")
    assert {row["id"] for _, row in rows} >= before | after
    # Exactly once when Kafka or Connect dies; a crash of PostgreSQL moves its slot back, and the sink forgives repeats.
    if name in {"connect", "kafka"}:
        assert len({(partition, row["id"]) for partition, row in rows}) == len(rows)


async def test_a_connector_that_failed_is_restarted_and_no_row_is_lost_or_doubled(
    bare: LocalStack, tmp_path: Path, eventually: Callable[..., Awaitable[None]]
) -> None:
    before = await insert(bare, tmp_path, 200)
    # As if the transaction had timed out while the broker was away: the task cannot write any more, and fails.
    assert await end_transaction(bare.kafka_bootstrap, f"{GROUP}-{CONNECTOR}-0")
    after = await insert(bare, tmp_path, 200)

    async def restarted() -> None:
        assert bare.connectors_log.exists()
        said = bare.connectors_log.read_text("utf-8")
        assert f"{CONNECTOR}: task 0: " in said
        assert f"{CONNECTOR}: restart 1 was answered 202" in said

    await eventually(restarted)
    last = max(after)
    rows = await read(bare, "atlas.entities", last, table="entities")
    assert {row["id"] for _, row in rows} >= before | after
    ours = [row["id"] for _, row in rows if row["id"] in before | after]
    assert len(ours) == len(set(ours))


async def test_a_dead_connect_is_no_failure_of_a_connector(bare: LocalStack) -> None:
    said = bare.connectors_log.read_text("utf-8") if bare.connectors_log.exists() else ""
    await bare.connect.restart()
    assert (bare.connectors_log.read_text("utf-8") if bare.connectors_log.exists() else "") == said
