from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any

import pytest
from atlaskit.clock import SystemClock
from atlaskit.errors import DeadlinePassed
from atlaskit.model import Deletion, Observation, TypedValue, ValueType
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.reader import Reader, reading

from .seeded import Database

NOON = datetime(2022, 10, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIMIT = timedelta(seconds=10)


def text(value: str) -> TypedValue:
    return TypedValue(ValueType.STRING, value)


def int64(value: int) -> TypedValue:
    return TypedValue(ValueType.INT64, value)


def uint64(value: int) -> TypedValue:
    return TypedValue(ValueType.UINT64, value)


def double(value: float) -> TypedValue:
    return TypedValue(ValueType.DOUBLE, value)


@asynccontextmanager
async def reader_of(database: Database, tenant: int) -> AsyncIterator[Reader]:
    async with open_pool(database.primary(), max_size=1) as pool, reading(pool, (tenant,), LIMIT) as reader:
        await reader.probe_primary(SystemClock())
        yield reader


async def shown(database: Database, tenant: int, entity: int, **choice: Any) -> dict[str, TypedValue]:
    async with reader_of(database, tenant) as reader:
        state = await reader.entity(entity, **choice)
    assert state is not None
    return {value.attribute_key: value.value for value in state.values}


EXACT = [
    int64(-(2**63)),
    int64(2**63 - 1),
    uint64(0),
    uint64(2**63),
    uint64(2**64 - 1),
    double(-0.0),
    double(5e-324),
    double(math.nextafter(1.0, 2.0)),
    TypedValue(ValueType.BOOL, False),
    text(""),
    text("CR\r\r\nÅ \U0001f600"),
    TypedValue(ValueType.BYTES, b""),
    TypedValue(ValueType.BYTES, b"\x00\xff\xfe not UTF-8"),
]


async def test_every_type_comes_back_exactly(database: Database) -> None:
    tenant = await database.tenant()
    await database.entity(tenant, 1, "bin")
    for number, value in enumerate(EXACT):
        await database.value(tenant, 1, f"a{number:02}", NOON, value)
    found = await shown(database, tenant, 1)
    assert list(found) == sorted(found)
    for number, value in enumerate(EXACT):
        back = found[f"a{number:02}"]
        assert (back.type, type(back.value)) == (value.type, type(value.value))
        if isinstance(value.value, float):
            assert pack("d", back.value) == pack("d", value.value)
        else:
            assert back == value
    assert await shown(database, tenant, 1, attributes=["a03", "no such key"]) == {"a03": uint64(2**63)}


async def test_of_two_deliveries_at_one_event_time_the_later_counts(database: Database) -> None:
    tenant = await database.tenant()
    await database.entity(tenant, 1, "e")
    await database.value(tenant, 1, "k", NOON, int64(1))
    await database.value(tenant, 1, "k", NOON, text("corrected"))
    await database.value(tenant, 1, "k", NOON - MINUTE, int64(9))
    assert await shown(database, tenant, 1) == {"k": text("corrected")}


async def test_a_deleted_observation_uncovers_the_one_before(database: Database) -> None:
    tenant = await database.tenant()
    await database.entity(tenant, 1, "e")
    await database.value(tenant, 1, "k", NOON - MINUTE, int64(1))
    await database.value(tenant, 1, "k", NOON, int64(2))
    await database.value(tenant, 1, "k", NOON, int64(3))
    await database.delete(Deletion.OBSERVATION, tenant, 1, "k", NOON)
    for choice in ({}, {"attributes": ["k"]}):
        assert await shown(database, tenant, 1, **choice) == {"k": int64(1)}
    await database.value(tenant, 1, "k", NOON, int64(4))
    assert await shown(database, tenant, 1) == {"k": int64(4)}


async def test_a_deleted_attribute_or_entity_hides_what_was_delivered_before(database: Database) -> None:
    tenant = await database.tenant()
    await database.entity(tenant, 1, "e")
    await database.value(tenant, 1, "gone", NOON, int64(1))
    await database.value(tenant, 1, "kept", NOON, int64(2))
    await database.delete(Deletion.ATTRIBUTE, tenant, 1, "gone")
    for choice in ({}, {"attributes": ["gone", "kept"]}):
        assert await shown(database, tenant, 1, **choice) == {"kept": int64(2)}
    await database.delete(Deletion.ENTITY, tenant, 1)
    assert await shown(database, tenant, 1) == {}
    await database.value(tenant, 1, "gone", NOON - MINUTE, int64(3))
    assert await shown(database, tenant, 1) == {"gone": int64(3)}
    async with reader_of(database, tenant) as reader:
        assert await reader.history(1, "kept", most=10) == []
        [group] = await reader.aggregate("gone", most=10)
        assert (group.count, group.integer_sum) == (1, 3)


async def test_as_of_shows_the_value_that_was_current_then(database: Database) -> None:
    tenant = await database.tenant()
    await database.entity(tenant, 1, "e")
    for minute in range(3):
        await database.value(tenant, 1, "k", NOON + minute * MINUTE, int64(minute))
    assert await shown(database, tenant, 1, as_of=NOON + MINUTE) == {"k": int64(1)}
    assert await shown(database, tenant, 1, as_of=NOON + 1.5 * MINUTE, attributes=["k"]) == {"k": int64(1)}
    assert await shown(database, tenant, 1, as_of=NOON - MINUTE) == {}


async def test_history_has_each_event_time_once_in_either_direction(database: Database) -> None:
    tenant = await database.tenant()
    await database.entity(tenant, 1, "e")
    for minute in (2, 0, 1, 3):
        await database.value(tenant, 1, "k", NOON + minute * MINUTE, int64(minute))
    await database.value(tenant, 1, "k", NOON + MINUTE, int64(100))
    await database.delete(Deletion.OBSERVATION, tenant, 1, "k", NOON + 2 * MINUTE)
    expected = [Observation("k", NOON + m * MINUTE, int64(v)) for m, v in ((0, 0), (1, 100), (3, 3))]
    async with reader_of(database, tenant) as reader:
        assert await reader.history(1, "k", most=10) == expected
        assert await reader.history(1, "k", most=10, newest_first=True) == expected[::-1]
        assert await reader.history(1, "k", most=1, newest_first=True) == expected[-1:]
        assert await reader.history(1, "k", start=NOON + MINUTE, end=NOON + 3 * MINUTE, most=10) == expected[1:2]


async def test_entities_come_by_id_and_page_by_page(database: Database) -> None:
    tenant = await database.tenant("numbered")
    for entity in (7, 3, 2**63 - 1, 0):
        await database.entity(tenant, entity)
        await database.value(tenant, entity, "k", NOON, int64(entity))
    async with reader_of(database, tenant) as reader:
        first = await reader.entities(-1, 3, attributes=["k"])
        rest = await reader.entities(first[-1].entity_id, 3, attributes=["k"])
        bare = await reader.entities(-1, 10)
    assert [state.entity_id for state in first + rest] == [0, 3, 7, 2**63 - 1]
    assert [state.values[0].value for state in rest] == [int64(2**63 - 1)]
    assert all(not state.values for state in bare)


async def test_figures_are_exact_and_keep_types_apart(database: Database) -> None:
    tenant = await database.tenant("numbered")
    for entity in (1, 2):
        await database.entity(tenant, entity)
    await database.value(tenant, 1, "k", NOON, int64(2**63 - 1))
    await database.value(tenant, 1, "k", NOON + MINUTE, uint64(2**64 - 1))
    await database.value(tenant, 1, "k", NOON + 2 * MINUTE, text("no number"))
    await database.value(tenant, 2, "k", NOON, double(-0.5))
    async with reader_of(database, tenant) as reader:
        [both] = await reader.aggregate("k", most=10)
        groups = await reader.aggregate("k", by_entity=True, bucket=2 * MINUTE, most=10)
        after = await reader.aggregate("k", by_entity=True, after=(1, -1), most=10)
    assert (both.count, both.integers, both.doubles) == (4, 2, 1)
    assert both.integer_sum == 2**63 - 1 + 2**64 - 1
    assert (both.minimum(), both.maximum(), both.exact_sum()) == (double(-0.5), uint64(2**64 - 1), None)
    assert [(group.entity_id, group.bucket, group.count) for group in groups] == [
        (1, NOON, 2),
        (1, NOON + 2 * MINUTE, 1),
        (2, NOON, 1),
    ]
    assert groups[0].exact_sum() == 2**63 - 1 + 2**64 - 1
    assert [group.entity_id for group in after] == [2]


async def test_a_tenant_sees_nothing_of_another(database: Database) -> None:
    mine, other = await database.tenant(), await database.tenant()
    for tenant in (mine, other):
        await database.entity(tenant, 1, "e")
        await database.value(tenant, 1, "k", NOON, int64(tenant))
    async with reader_of(database, mine) as reader:
        rows = await reader._session.fetch("SELECT tenant_id FROM entity_attributes")
        assert {row["tenant_id"] for row in rows} == {mine}
    assert await shown(database, other, 1) == {"k": int64(other)}


async def test_the_cost_of_an_entity_goes_with_its_attributes_and_not_with_its_observations(database: Database) -> None:
    tenant = await database.tenant("numbered")
    await database.entity(tenant, 1)
    keys = [await database.attribute(tenant, f"k{number}") for number in range(20)]
    await database.connection.execute(
        "INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, event_time, "
        "row_version, value_int) SELECT $1, 1, a, $2, 1, timestamptz '2020-01-01Z' + make_interval(secs => n), "
        "(1::bigint << 56) + n, n FROM unnest($3::int[]) AS a, generate_series(1, 2000) AS n",
        tenant, tenant % 10, keys,
    )  # fmt: skip
    await database.connection.execute("ANALYZE entity_attributes")
    async with reader_of(database, tenant) as reader:
        before = await _index_rows(reader)
        state = await reader.entity(1)
        after = await _index_rows(reader)
    assert state is not None
    assert [value.value for value in state.values] == [int64(2000)] * 20
    assert after - before < 500


async def _index_rows(reader: Reader) -> int:
    rows = await reader._session.fetch(
        "SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid)), 0)::bigint "
        "FROM pg_class WHERE relname LIKE 'entity\\_attributes%'"
    )
    return int(rows[0][0])


async def test_a_statement_ends_at_the_server_when_the_limit_is_over(database: Database) -> None:
    tenant = await database.tenant()
    async with open_pool(database.primary(), max_size=1) as pool:
        with pytest.raises(DeadlinePassed):  # noqa: PT012
            async with reading(pool, (tenant,), timedelta(milliseconds=200)) as reader:
                await reader.probe_primary(SystemClock())
                await reader._session.fetch("SELECT pg_sleep(30)", limit=timedelta(seconds=20))
        async with reading(pool, (tenant,), LIMIT) as reader:
            assert not (await reader.probe_primary(SystemClock())).in_recovery
