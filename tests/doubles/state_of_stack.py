"""What a stack's parts say of themselves when a test has failed: short enough to be the last thing of a run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from atlas_local.launch import Launched
from atlas_local.process import ChildProcess
from atlas_local.stack import LocalStack

_LIMIT = 5.0  # seconds for each part's answer
_HISTORY = [TopicPartition("atlas.entity_attributes", shard) for shard in range(10)]
_WATERMARKS = """
    SELECT table_name, min(lsn) FROM (
        SELECT table_name, shard, max(lsn) AS lsn FROM atlas.olap_watermarks GROUP BY table_name, shard
    ) GROUP BY table_name ORDER BY table_name FORMAT TSV
"""


async def state_of(stack: LocalStack, atlas: Launched | None) -> list[str]:
    """Return a line for each part that is not well, and those that tell how far Kafka and ClickHouse are."""
    services = list(atlas.platform.services.values()) if atlas else []
    async with asyncio.TaskGroup() as group:
        asked = {part: group.create_task(part.healthy(_LIMIT)) for part in stack.parts}
        connect = group.create_task(_connectors(stack))
        kafka = group.create_task(_twice(partial(_ends, stack)))
        marks = group.create_task(_twice(partial(_watermarks, stack)))
    ill = [part for part, well in asked.items() if not well.result()]
    lines = [f"{part.name}: {_ill(part)}" for part in (*ill, *(one for one in services if not one.running))]
    lines += [f"connectors: {connect.result()}", f"kafka: {kafka.result()}", f"watermarks: {marks.result()}"]
    for service in services:
        lines += [f"{service.name}: {line}" for line in _last_warning(service)]
    return lines


def _ill(part: ChildProcess) -> str:
    said = part.log_tail(1)[-160:]
    return f"{'does not answer' if part.running else 'is not running'}; it said last: {said}"


async def _connectors(stack: LocalStack) -> str:
    with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
        async with httpx.AsyncClient(base_url=stack.connect_url, timeout=_LIMIT) as client:
            found = (await client.get("/connectors", params={"expand": "status"})).json()
        return ", ".join(
            f"{name} {part['state']}"
            for name, known in found.items()
            for part in (known["status"]["connector"], *known["status"]["tasks"])
        )
    return "no answer"


async def _twice(look: Callable[[], Awaitable[str]]) -> str:
    """Return what is seen at two times a second apart: whether it moves."""
    first = await look()
    await asyncio.sleep(1.0)
    return f"{first}; then {await look()}"


async def _ends(stack: LocalStack) -> str:
    """Return where the topic of the history ends, for all readers and for those of committed records."""
    written = await _sum_of_ends(stack, "read_uncommitted")
    return f"{written} written, {await _sum_of_ends(stack, 'read_committed')} committed"


async def _sum_of_ends(stack: LocalStack, isolation: str) -> str:
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka_bootstrap, isolation_level=isolation)
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_LIMIT):
            try:
                await consumer.start()
                return str(sum((await consumer.end_offsets(_HISTORY)).values()))
            finally:
                await consumer.stop()
    return "unknown"


async def _watermarks(stack: LocalStack) -> str:
    try:
        async with httpx.AsyncClient(base_url=stack.clickhouse_url, timeout=_LIMIT) as client:
            answer = await client.post("/", content=_WATERMARKS)
    except httpx.HTTPError as error:
        return repr(error)
    return ", ".join(answer.text.replace("\t", " ").splitlines())[:200]


def _last_warning(service: ChildProcess) -> list[str]:
    """Return the last line of a service's log that is no mere information, shortened, if its end has one."""
    lines = [line for line in service.log_tail(200).splitlines() if '"level": "info"' not in line]
    if not lines:
        return []
    with contextlib.suppress(orjson.JSONDecodeError):
        said = orjson.loads(lines[-1])
        return [f"{said.get('timestamp', '')[11:19]} {said.get('event')} {said.get('problem', '')}"[:200]]
    return [lines[-1][:200]]
