"""The library over the front: writes are counted, deletes hide what they should, proofs die with the server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from atlaskit.clickhouse import reader, watermark
from atlaskit.clickhouse.errors import ClickHouseRefused, ClickHouseUnavailable
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clickhouse.table import insert
from atlaskit.clickhouse.watermark import Watermark
from atlaskit.errors import DeadlinePassed, Overloaded
from atlaskit.model import TypedValue, ValueType
from atlaskit.position import Lsn

TENANTS = count(1000)
MARKER = datetime(1969, 12, 31, tzinfo=UTC)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
COLUMN = {
    ValueType.INT64: "value_int64",
    ValueType.UINT64: "value_uint64",
    ValueType.DOUBLE: "value_double",
    ValueType.BOOL: "value_bool",
    ValueType.STRING: "value_string",
    ValueType.BYTES: "value_bytes",
}


class Writer:
    """Writes events of a tenant of its own, each with the next row version."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.clickhouse = clickhouse
        self.tenant = next(TENANTS)
        self.versions = count(1)

    async def event(
        self, attribute: str, value: TypedValue | None, at: datetime, *, deletion: int = 0, entity: int = 7
    ) -> None:
        columns: dict[str, list[Any]] = {
            "tenant_id": [self.tenant],
            "entity_id": [entity],
            "attribute_key": [attribute],
            "attribute_type": [value.type.name if value else "NONE"],
            "event_timestamp": [at],
            "ingestion_timestamp": [1_700_000_000_000_000],
            "row_version": [next(self.versions)],
            "deletion": [deletion],
        }
        if value is not None:
            columns[COLUMN[value.type]] = [value.value]
        await insert(self.clickhouse, "entity_analytics_events", columns)

    async def number(self, attribute: str, value: int, at: datetime) -> None:
        await self.event(attribute, TypedValue(ValueType.INT64, value), at)

    async def current(self, **options: Any) -> dict[str, Any]:
        state = await reader.entity(self.clickhouse, self.tenant, 7, **options)
        return {seen.attribute_key: seen.value.value for seen in state.values} if state else {}


@pytest.fixture
def writer(clickhouse: ClickHouse) -> Writer:
    return Writer(clickhouse)


@pytest.mark.parametrize(
    "value",
    [
        TypedValue(ValueType.INT64, -(2**63)),
        TypedValue(ValueType.UINT64, 2**64 - 1),
        TypedValue(ValueType.DOUBLE, 5e-324),
        TypedValue(ValueType.DOUBLE, -0.0),
        TypedValue(ValueType.BOOL, False),
        TypedValue(ValueType.STRING, ""),
        TypedValue(ValueType.STRING, "päper; \t'"),
        TypedValue(ValueType.BYTES, b"\xff\x00;"),
    ],
)
async def test_a_value_keeps_its_type_its_bits_and_its_microsecond(writer: Writer, value: TypedValue) -> None:
    at = NOON + timedelta(microseconds=1)
    await writer.event("some key / with spaces", value, at)
    state = await reader.entity(writer.clickhouse, writer.tenant, 7)
    assert state is not None
    seen = state.values[0]
    assert (seen.attribute_key, seen.event_time, repr(seen.value)) == ("some key / with spaces", at, repr(value))


async def test_the_last_delivery_of_an_identity_wins(writer: Writer) -> None:
    await writer.number("a", 1, NOON)
    await writer.event("a", TypedValue(ValueType.STRING, "corrected"), NOON)
    assert await writer.current() == {"a": "corrected"}
    assert len(await reader.history(writer.clickhouse, writer.tenant, 7, "a")) == 1


async def test_the_newest_event_time_is_current_whatever_came_last(writer: Writer) -> None:
    await writer.number("a", 2, NOON + SECOND)
    await writer.number("a", 1, NOON)
    assert await writer.current() == {"a": 2}
    assert await writer.current(as_of=NOON) == {"a": 1}
    assert await writer.current(as_of=NOON - SECOND) == {}


async def test_a_deleted_observation_gives_way_to_the_one_before(writer: Writer) -> None:
    await writer.number("a", 1, NOON)
    await writer.number("a", 2, NOON + SECOND)
    await writer.event("a", None, NOON + SECOND, deletion=1)
    assert await writer.current() == {"a": 1}
    await writer.number("a", 3, NOON + SECOND)
    assert await writer.current() == {"a": 3}


async def test_a_deleted_attribute_hides_what_came_before_and_nothing_else(writer: Writer) -> None:
    await writer.number("a", 1, NOON)
    await writer.number("b", 2, NOON)
    await writer.event("a", None, MARKER, deletion=2)
    assert await writer.current() == {"b": 2}
    await writer.number("a", 3, NOON - SECOND)
    assert await writer.current() == {"a": 3, "b": 2}


async def test_a_deleted_entity_is_gone_until_it_is_written_again(writer: Writer) -> None:
    await writer.number("a", 1, NOON)
    await writer.event("b", TypedValue(ValueType.INT64, 9), NOON, entity=8)
    await writer.event("", None, MARKER, deletion=3)
    assert await reader.entity(writer.clickhouse, writer.tenant, 7) is None
    assert await reader.entity(writer.clickhouse, writer.tenant, 8) is not None
    await writer.number("c", 4, NOON)
    assert await writer.current() == {"c": 4}


async def test_tenants_do_not_see_each_other(clickhouse: ClickHouse) -> None:
    one, other = Writer(clickhouse), Writer(clickhouse)
    await one.number("a", 1, NOON)
    await other.number("a", 2, NOON)
    assert (await one.current(), await other.current()) == ({"a": 1}, {"a": 2})


async def test_only_the_attributes_asked_for_come(writer: Writer) -> None:
    for key in ("a", "b'; --", "c"):
        await writer.number(key, 1, NOON)
    assert await writer.current(attributes=["b'; --", "c", "absent"]) == {"b'; --": 1, "c": 1}
    assert await writer.current(most=2) == {"a": 1, "b'; --": 1}


async def test_an_entity_comes_with_its_metadata(writer: Writer) -> None:
    row = {
        "tenant_id": [writer.tenant],
        "entity_id": [7],
        "shard": [3],
        "entity_key": ["KJFK"],
        "asset_type": ["station"],
        "created_at": [NOON],
        "updated_at": [NOON],
        "row_version": [1],
        "deleted": [False],
    }
    await insert(writer.clickhouse, "entities", row)
    state = await reader.entity(writer.clickhouse, writer.tenant, 7)
    assert state is not None
    assert (state.entity_key, state.asset_type, state.created_at, state.values) == ("KJFK", "station", NOON, ())
    await insert(writer.clickhouse, "entities", {**row, "row_version": [2], "deleted": [True]})
    assert await reader.entity(writer.clickhouse, writer.tenant, 7) is None


async def test_history_is_a_half_open_range_in_either_order(writer: Writer) -> None:
    for step in range(5):
        await writer.number("a", step, NOON + step * SECOND)
    asked: dict[str, Any] = {"start": NOON + SECOND, "end": NOON + 4 * SECOND}
    oldest = await reader.history(writer.clickhouse, writer.tenant, 7, "a", **asked)
    newest = await reader.history(writer.clickhouse, writer.tenant, 7, "a", newest_first=True, most=2, **asked)
    assert [seen.value.value for seen in oldest] == [1, 2, 3]
    assert [seen.value.value for seen in newest] == [3, 2]


async def test_the_sum_of_integers_is_exact(writer: Writer) -> None:
    for step, value in enumerate((2**63 - 1, 2**63 - 1, 5)):
        await writer.number("a", value, NOON + step * SECOND)
    await writer.event("a", TypedValue(ValueType.STRING, "no number"), NOON - SECOND)
    found = await reader.aggregate(writer.clickhouse, writer.tenant, "a")
    assert (found.observations, found.numbers, found.minimum, found.exact_sum) == (4, 3, 5.0, 2**64 + 3)
    await writer.event("a", TypedValue(ValueType.DOUBLE, 0.5), NOON - 2 * SECOND)
    assert (await reader.aggregate(writer.clickhouse, writer.tenant, "a")).exact_sum is None
    nothing = await reader.aggregate(writer.clickhouse, writer.tenant, "absent")
    assert (nothing.observations, nothing.sum, nothing.exact_sum) == (0, None, None)
    assert (await reader.aggregate(writer.clickhouse, writer.tenant, "a", entities=[8])).observations == 0


async def test_numpy_columns_and_ticks_are_stored_as_they_are(writer: Writer) -> None:
    numpy = pytest.importorskip("numpy")
    rows = 20_000
    columns = {
        "tenant_id": numpy.full(rows, writer.tenant, dtype=numpy.uint32),
        "entity_id": numpy.arange(rows, dtype=numpy.uint64),
        "attribute_key": ["a"] * rows,
        "attribute_type": numpy.full(rows, int(ValueType.DOUBLE), dtype=numpy.int8),
        "value_double": numpy.arange(rows, dtype=numpy.float64) / 3,
        "event_timestamp": 1_714_564_800_000_000 + numpy.arange(rows, dtype=numpy.int64),
        "ingestion_timestamp": numpy.full(rows, 1_714_564_800_000_001, dtype=numpy.int64),
        "row_version": numpy.arange(1, rows + 1, dtype=numpy.uint64),
    }
    await insert(writer.clickhouse, "entity_analytics_events", columns)
    found = await reader.history(writer.clickhouse, writer.tenant, 19_999, "a")
    assert (found[0].event_time, found[0].value.value) == (NOON + timedelta(microseconds=19_999), 19_999 / 3)
    assert (await reader.aggregate(writer.clickhouse, writer.tenant, "a")).observations == rows


async def test_the_same_rows_again_replace_themselves(writer: Writer) -> None:
    for _ in range(2):
        writer.versions = count(1)
        await writer.number("a", 1, NOON)
    assert (await reader.aggregate(writer.clickhouse, writer.tenant, "a")).observations == 1


async def test_an_insert_into_more_partitions_than_allowed_is_refused(clickhouse: ClickHouse) -> None:
    months = [datetime(1980 + number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in range(120)]
    columns = {"tenant_id": [1] * 120, "event_timestamp": months, "row_version": [1] * 120}
    with pytest.raises(ClickHouseRefused, match="TOO_MANY_PARTS|partitions"):
        await insert(clickhouse, "entity_analytics_events", columns)


async def test_columns_of_different_lengths_never_leave(clickhouse: ClickHouse) -> None:
    with pytest.raises(ValueError, match="different lengths"):
        await insert(clickhouse, "entities", {"tenant_id": [1, 2], "entity_id": [1]})


async def test_a_call_ends_at_its_limit(clickhouse: ClickHouse) -> None:
    with pytest.raises(DeadlinePassed):
        await clickhouse.rows("SELECT sleep(2)", limit=timedelta(milliseconds=200))


async def test_one_call_too_many_is_refused_at_once(front: Any) -> None:
    async with open_clickhouse(f"{front.url}/atlas", connections=1, waiting=1) as narrow:
        calls = await asyncio.gather(*(narrow.rows("SELECT sleep(0.2)") for _ in range(4)), return_exceptions=True)
    assert [type(call) for call in calls] == [list, list, Overloaded, Overloaded]


def marks(incarnation: UUID, monitor: UUID, beats: dict[int, int]) -> list[Watermark]:
    return [
        Watermark("entities", shard, monitor, beat, 1, 1, 2**63 + 1, Lsn(beat * 16), incarnation)
        for shard, beat in beats.items()
    ]


async def test_watermarks_live_and_die_with_the_server(own_front: Any) -> None:
    own_front.migrate()
    places = [("entities", 0), ("entities", 1)]
    monitor = uuid4()
    async with open_clickhouse(f"{own_front.url}/atlas", connections=2) as clickhouse:
        assert await watermark.settings_hold(clickhouse)
        assert await watermark.read_incarnation(clickhouse) is None
        first = await watermark.begin_incarnation(clickhouse)
        assert await watermark.read_incarnation(clickhouse) == first
        await watermark.publish(clickhouse, marks(first, monitor, {0: 7, 1: 9, 2: 1}))
        await watermark.publish(clickhouse, marks(first, monitor, {0: 6}))
        read = await watermark.read_watermarks(clickhouse, places)
        assert sorted(mark.beat for mark in read) == [7, 9]
        least = watermark.least(read, places, monitor)
        assert least == marks(first, monitor, {0: 7})[0]
        own_front.kill()
        with pytest.raises(ClickHouseUnavailable):
            await watermark.read_incarnation(clickhouse)
        own_front.start()
        assert await watermark.read_incarnation(clickhouse) is None
        assert await watermark.read_watermarks(clickhouse, places) == []
        second = await watermark.begin_incarnation(clickhouse)
        assert second != first
        assert await watermark.read_watermarks(clickhouse, places) == []


async def test_a_weaker_setting_withdraws_the_claim(own_front: Any) -> None:
    own_front.migrate()
    async with open_clickhouse(f"{own_front.url}/atlas", connections=2) as clickhouse:
        await clickhouse.execute("ALTER TABLE entities MODIFY SETTING fsync_after_insert = 0")
        assert not await watermark.settings_hold(clickhouse)


async def test_a_server_that_is_away_is_unavailable_and_then_found(own_front: Any) -> None:
    own_front.kill()
    async with open_clickhouse(f"{own_front.url}/default", connections=2) as clickhouse:
        with pytest.raises(ClickHouseUnavailable):
            await clickhouse.rows("SELECT 1")
        own_front.start()
        assert await clickhouse.rows("SELECT 1") == [(1,)]
