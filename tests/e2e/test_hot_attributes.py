"""Promoted attributes through the whole platform: filled, kept, proven in every copy."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_client import (
    AtlasClient,
    CallFailed,
    Delete,
    HotState,
    Policy,
    Requirement,
    Source,
    Tenant,
    UseCase,
    ValueType,
    Write,
    Written,
)
from atlas_client.filters import predicate_of
from atlas_local.launch import Launched
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clickhouse.watermark import read_watermarks
from atlaskit.position import Lsn, Token
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode, aio

AT = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)
SHARDS = [("entity_hot_attributes", shard) for shard in range(10)]
ROWS = """
    SELECT entity_id, change, payload FROM entity_hot_attributes FINAL WHERE tenant_id = {t:UInt32} ORDER BY entity_id
"""
STORED = "SELECT * FROM entity_hot_attributes WHERE tenant_id = $1 ORDER BY entity_id"


async def proven(client: AtlasClient, tenant: Tenant, written: Written) -> dict[str, object]:
    """Return the current values of an entity in ClickHouse once it is proven to have this write.

    A ledger that counts other rows than arrive freezes the shard: then this is never answered."""
    wanted = Requirement(UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=written.token, only_source=Source.OLAP)
    answer = await client.get_entity(tenant.tenant_id, "e1", freshness=wanted, timeout=PATIENCE)
    return {name: observed.value for name, observed in answer.entity.values.items()}


def values(second: int, count: int = 30) -> list[Write]:
    at = AT + timedelta(seconds=second)
    return [Write(f"e{n}", "level", float(second + n), at, asset_type="tank") for n in range(count)]


async def ready(client: AtlasClient, tenant: Tenant) -> None:
    found = await client.list_hot_attributes(tenant.tenant_id)
    assert [one.state for one in found] == [HotState.READY]


@pytest.fixture
async def promoted(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], eventually: Callable[..., Awaitable[None]]
) -> Tenant:
    """A tenant with 30 tanks whose level is promoted, after their first values."""
    tenant = await new_tenant()
    await client.write_rows(tenant.tenant_id, values(0))
    found = await client.promote_attribute(tenant.tenant_id, "level", asset_type="tank")
    assert found.value_type is ValueType.DOUBLE
    await eventually(lambda: ready(client, tenant))
    return tenant


async def test_slots_are_filled_kept_and_balance_in_the_ledger_of_every_copy(
    client: AtlasClient, atlas: Launched, promoted: Tenant, eventually: Callable[..., Awaitable[None]]
) -> None:
    number = promoted.tenant_id
    assert await proven(client, promoted, await client.write_rows(number, values(10))) == {"level": 11.0}
    await client.write_rows(number, values(5))  # late: it changes no slot
    deleted = await client.delete(number, [Delete("e2", "level", AT + timedelta(seconds=10)), Delete("e3", "level")])
    assert await proven(client, promoted, deleted) == {"level": 11.0}
    again = await client.write_rows(number, [Write("e3", "level", 7.5, AT + timedelta(seconds=60))])
    assert await proven(client, promoted, again) == {"level": 11.0}

    async with open_clickhouse(f"{atlas.stack.clickhouse_url}/atlas") as clickhouse:
        reached = Token.parse(again.token, "token").lsn
        await eventually(lambda: all_proven(clickhouse, reached))
        copied = await clickhouse.rows(ROWS, {"t": number})
    connection = await asyncpg.connect(atlas.stack.primary_dsn())
    try:
        stored = [dict(row) for row in await connection.fetch(STORED, number)]
    finally:
        await connection.close()
    assert len(stored) == 30
    assert [(row["entity_id"], row["change"]) for row in stored] == [(entity, change) for entity, change, _ in copied]
    slots = [(row["double_1"], row["double_1_version"], row["double_1_deleted"]) for row in stored]
    assert slots == [slot_of(payload) for *_, payload in copied]
    assert sum(row["double_1_deleted"] for row in stored) == 1  # e2 asks history; e3 has a later value again


async def all_proven(clickhouse: ClickHouse, lsn: Lsn) -> None:
    """The watermark of each shard of the table has passed a position: what its ledger counts is what arrived."""
    marks = await read_watermarks(clickhouse, SHARDS)
    assert {mark.shard for mark in marks if mark.lsn > lsn} == set(range(10))


def slot_of(payload: str) -> tuple[Any, ...]:
    row = orjson.loads(payload)
    return row["double_1"], row["double_1_version"], row["double_1_deleted"]


async def test_a_promotion_ends_and_is_refused_by_name(client: AtlasClient, promoted: Tenant) -> None:
    number = promoted.tenant_id
    with pytest.raises(CallFailed) as unknown:
        await client.promote_attribute(number, "nothing", asset_type="tank")
    assert (unknown.value.code, unknown.value.reason) == (StatusCode.NOT_FOUND, "NOT_FOUND")
    with pytest.raises(CallFailed) as other:
        await client.promote_attribute(number, "level", asset_type="tank", value_type=ValueType.BOOL)
    assert other.value.code is StatusCode.ALREADY_EXISTS
    with pytest.raises(CallFailed) as octets:
        await client.promote_attribute(number, "level", asset_type="tank", value_type=ValueType.BYTES)
    assert octets.value.code is StatusCode.INVALID_ARGUMENT
    assert (await client.demote_attribute(number, "level", asset_type="tank")).state is HotState.RETIRED
    assert await client.list_hot_attributes(number) == []
    [retired] = await client.list_hot_attributes(number, include_retired=True)
    assert (retired.entities_done, retired.entities_total) == (30, 30)
    assert await proven(client, promoted, await client.write_rows(number, values(20))) == {"level": 21.0}


@pytest.mark.parametrize("source", [fpb.DATA_SOURCE_PRIMARY, fpb.DATA_SOURCE_REPLICA, fpb.DATA_SOURCE_OLAP])
async def test_a_filter_finds_the_same_by_slots_and_by_history_and_says_which(
    client: AtlasClient, atlas: Launched, promoted: Tenant, source: fpb.DataSource.ValueType
) -> None:
    number = promoted.tenant_id
    other = [
        Write("e5", "level", "broken", AT + timedelta(seconds=99)),
        Write("e6", "level", 99.0, AT + timedelta(days=1)),
    ]
    written = await client.write_rows(number, [*values(10), *other])
    wanted = fpb.FreshnessRequirement(
        use_case=fpb.USE_CASE_ANALYTICS,
        policy=fpb.FRESHNESS_POLICY_WAIT,
        at_least_token=written.token,
        only_source=source,
    )
    found = {}
    async with aio.insecure_channel(atlas.query) as channel:
        router = pb_grpc.QueryServiceStub(channel)
        for name, as_of in (("slots", None), ("history", Timestamp(seconds=4_000_000_000))):
            request = pb.ListEntitiesRequest(
                tenant_id=number,
                predicate=predicate_of('asset_type == "tank" && attr["level"] >= 35'),
                freshness=wanted,
                explain=True,
                as_of_event_time=as_of,
            )
            answer = await router.ListEntities(request, timeout=30)
            found[name] = {entity.entity_key for entity in answer.entities}
            [read] = answer.attribute_reads
            by_slot = name == "slots" and source != fpb.DATA_SOURCE_OLAP
            expected = pb.ATTRIBUTE_PATH_SLOT if by_slot else pb.ATTRIBUTE_PATH_HISTORY
            assert (read.attribute_key, read.path) == ("level", expected)
    assert found["slots"] == found["history"] == {"e6", *(f"e{n}" for n in range(25, 30))}


async def test_the_command_line_promotes_lists_and_demotes(atlas: Launched, promoted: Tenant) -> None:
    where = ("--ingest", atlas.ingest)
    assert "READY" in await command("list", promoted.name, *where)
    assert "level" in await command("promote", promoted.name, "level", "--type", "tank", *where)
    assert "RETIRED" in await command("demote", promoted.name, "level", "--type", "tank", *where)
    assert "level" not in await command("list", promoted.name, *where)


async def command(*arguments: str) -> str:
    """Return what `atlas hot` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atlas_cli", "hot", *arguments, stdout=asyncio.subprocess.PIPE, env={"COLUMNS": "160"}
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()
