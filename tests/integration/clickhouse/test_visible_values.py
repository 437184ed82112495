"""What deletes hide, in the view that searches and groupings read: each value once, whatever is inserted meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clickhouse.settings import SETTINGS
from atlaskit.clickhouse.table import insert

TENANTS = count(50_000)
MARKER = datetime(1969, 12, 31, tzinfo=UTC)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ATTRIBUTE, ENTITY = 2, 3
VALUES = (
    "SELECT tenant_id, entity_id, attribute_key, value_int64 FROM visible_values(tenants = {tenants:Array(UInt32)})"
)
Event = tuple[int, int, str, int, int, int]  # tenant, entity, key, value, row version, kind of delete


async def put(clickhouse: ClickHouse, events: Sequence[Event]) -> None:
    tenants, entities, keys, values, versions, deletions = (list(column) for column in zip(*events, strict=True))
    pairs = zip(values, deletions, strict=True)
    times = [MARKER if kind else NOON + timedelta(seconds=value) for value, kind in pairs]
    columns: dict[str, list[Any]] = {
        "tenant_id": tenants,
        "entity_id": entities,
        "attribute_key": keys,
        "attribute_type": ["NONE" if kind else "INT64" for kind in deletions],
        "value_int64": values,
        "event_timestamp": times,
        "ingestion_timestamp": [1_700_000_000_000_000] * len(events),
        "row_version": versions,
        "deletion": deletions,
    }
    await insert(clickhouse, "entity_analytics_events", columns)


async def seen(clickhouse: ClickHouse, tenants: Sequence[int], more: Mapping[str, Any] = {}) -> list[tuple[Any, ...]]:
    rows = await clickhouse.rows(VALUES, {"tenants": list(tenants)}, settings={**SETTINGS, **more})
    return sorted(tuple(row) for row in rows)


async def test_a_delete_hides_what_came_before_it_in_its_tenant_alone(clickhouse: ClickHouse) -> None:
    one, other = next(TENANTS), next(TENANTS)
    values = [(tenant, entity, key, 1, 10, 0) for tenant in (one, other) for entity in (1, 2, 3) for key in ("a", "b")]
    await put(clickhouse, [*values, (one, 1, "a", 2, 30, 0), (other, 3, "a", 2, 30, 0)])
    assert len(await seen(clickhouse, [one, other])) == 14
    await put(
        clickhouse, [(one, 1, "a", 0, 20, ATTRIBUTE), (other, 3, "", 0, 20, ENTITY), (one, 9, "a", 0, 20, ATTRIBUTE)]
    )
    expected = [
        (one, 1, "a", 2), (one, 1, "b", 1), *((one, entity, key, 1) for entity in (2, 3) for key in "ab"),
        *((other, entity, key, 1) for entity in (1, 2) for key in "ab"), (other, 3, "a", 2),
    ]  # fmt: skip
    assert await seen(clickhouse, [one, other]) == sorted(expected)
    assert await seen(clickhouse, [other]) == sorted(row for row in expected if row[0] == other)


async def test_a_value_is_seen_once_while_its_delete_is_being_inserted(clickhouse: ClickHouse) -> None:
    tenant, version, entities = next(TENANTS), 20, range(1, 21)
    await put(clickhouse, [(tenant, entity, "a", 1, 10, 0) for entity in entities])
    over = asyncio.Event()

    async def deletes() -> None:
        nonlocal version
        while not over.is_set():
            # Older than the values: it hides nothing, and moves its entity from one half of the view to the other.
            await put(clickhouse, [(tenant, entities[version % 20], "a", 0, 1 + version % 9, ATTRIBUTE)])
            version += 1

    expected = [(tenant, entity, "a", 1) for entity in entities]
    async with asyncio.TaskGroup() as group:
        group.create_task(deletes())
        # The engine waits at each look at the table, so that rows come in between.
        looks = [await seen(clickhouse, [tenant], {"merge_tree_storage_snapshot_sleep_ms": 40}) for _ in range(12)]
        over.set()
    assert version > 25
    assert looks == [expected] * len(looks)
