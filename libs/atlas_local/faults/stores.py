"""What can befall the stores: parts that a power loss took, topics that were cut, a replica that is promoted."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from atlaskit.kafka.connector import CONNECTOR
from atlaskit.kafka.errors import started

from atlas_local.stack import LocalStack

_PART = re.compile(r"[0-9a-z]+_\d+_\d+_\d+\Z")
_SECONDS = 20.0
_POLL = 0.1
_PATHS = "SELECT arrayJoin(data_paths) FROM system.tables WHERE database = 'atlas' AND name IN ({}) FORMAT TSV"


async def lose_newest_parts(stack: LocalStack, tables: Sequence[str], seconds: float) -> list[str]:
    """Crash ClickHouse, remove what these tables took in its last `seconds`, start it, and return the parts' names.

    It is what a power loss does to parts that were acknowledged and not yet on the disk."""
    folders = await _folders(stack.clickhouse_url, tables)
    stack.clickhouse.kill()
    lost = newest_parts(folders, seconds)
    for part in lost:
        shutil.rmtree(part)
    await stack.clickhouse.start()
    return [part.name for part in lost]


def newest_parts(folders: Sequence[Path], seconds: float) -> list[Path]:
    """Return the parts in these folders of tables that are at most `seconds` older than the newest of them."""
    parts = [part for folder in folders for part in folder.iterdir() if _PART.match(part.name)]
    if not parts:
        return []
    newest = max(part.stat().st_mtime for part in parts)
    return [part for part in parts if newest - part.stat().st_mtime <= seconds]


async def _folders(url: str, tables: Sequence[str]) -> list[Path]:
    names = ", ".join(f"'{name}'" for name in tables)
    async with httpx.AsyncClient(timeout=_SECONDS) as client:
        answer = (await client.post(url, content=_PATHS.format(names))).raise_for_status()
    return [Path(line) for line in answer.text.split()]


async def cut_topic(bootstrap: str, topic: str, keep: int = 0) -> int:
    """Delete all but the last `keep` records of each partition of a topic, and return how many offsets are gone."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    async with asyncio.timeout(_SECONDS), started(consumer), started(admin):
        described = await admin.describe_topics([topic])
        partitions = [TopicPartition(topic, part["partition"]) for part in described[0]["partitions"]]
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        cuts = {at: max(begins[at], ends[at] - keep) for at in partitions}
        await admin.delete_records({at: RecordsToDelete(before_offset=offset) for at, offset in cuts.items()})
    return sum(cuts[at] - begins[at] for at in partitions)


async def begin_anew(connect_url: str, seconds: float = 60.0) -> None:
    """Let the connector forget its offsets and go on from a slot that it makes anew.

    It is what an operator does when the slot is gone, or after a promotion without it. What lies between is never sent.
    Raises httpx.HTTPError if Connect refuses, TimeoutError if the connector does not stop in time."""
    base = f"/connectors/{CONNECTOR}"
    async with asyncio.timeout(seconds), httpx.AsyncClient(base_url=connect_url, timeout=_SECONDS) as client:
        (await client.put(f"{base}/stop")).raise_for_status()
        await _drop_offsets(client, base)
        (await client.put(f"{base}/resume")).raise_for_status()


async def _drop_offsets(client: httpx.AsyncClient, base: str) -> None:
    while True:
        answer = await client.delete(f"{base}/offsets")
        # It is refused until every task has ended.
        if answer.status_code != httpx.codes.BAD_REQUEST:
            answer.raise_for_status()
            return
        await asyncio.sleep(_POLL)


async def restart_connector(connect_url: str) -> None:
    """Restart the connector and its task, in the middle of whatever it reads."""
    async with httpx.AsyncClient(base_url=connect_url, timeout=_SECONDS) as client:
        asked = {"includeTasks": "true"}
        (await client.post(f"/connectors/{CONNECTOR}/restart", params=asked)).raise_for_status()
