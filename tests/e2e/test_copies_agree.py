"""Every kind of question has the same answer on every copy that covers the write."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_client import AtlasClient, ValueType, Write
from atlas_local.launch import Launched
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode, aio

NOON = datetime(2022, 10, 23, 12, tzinfo=UTC)
LIMIT = 30.0
SOURCES = (fpb.DATA_SOURCE_PRIMARY, fpb.DATA_SOURCE_REPLICA, fpb.DATA_SOURCE_OLAP)


@pytest.fixture(scope="module")
async def router(atlas: Launched) -> AsyncIterator[pb_grpc.QueryServiceAsyncStub]:
    async with aio.insecure_channel(atlas.query) as channel:
        yield pb_grpc.QueryServiceStub(channel)


@pytest.fixture(scope="module")
async def written(client: AtlasClient) -> tuple[int, str]:
    """A tenant with every type, a correction, and numbers of three types under one key; and the token of it all."""
    tenant = (await client.create_tenant("copies-agree", shard_spread=2)).tenant_id
    exact: list[tuple[int | float | str | bytes, ValueType]] = [
        (-(2**63), ValueType.INT64),
        (2**64 - 1, ValueType.UINT64),
        (-0.0, ValueType.DOUBLE),
        (5e-324, ValueType.DOUBLE),
        (math.pi, ValueType.DOUBLE),
        (False, ValueType.BOOL),
        ("", ValueType.STRING),
        ("CR\r\r\nÅ \U0001f600", ValueType.STRING),
        (b"\x00\xff\xfe", ValueType.BYTES),
    ]
    rows = [Write("typed", f"t{n}", value, NOON, value_type=kind) for n, (value, kind) in enumerate(exact)]
    rows += [
        Write(entity, "k", minute, NOON + timedelta(minutes=minute), asset_type="station")
        for entity in ("a", "b", "c")
        for minute in range(5)
    ]
    rows.append(Write("a", "k", 2**64 - 1, NOON + timedelta(minutes=5)))
    rows.append(Write("b", "k", -0.5, NOON + timedelta(minutes=5)))
    rows.append(Write("c", "k", "no number", NOON + timedelta(minutes=5)))
    await client.write_rows(tenant, rows)
    last = await client.write_rows(tenant, [Write("a", "k", 1000, NOON)])
    return tenant, last.token


def needed(source: fpb.DataSource.ValueType, token: str) -> fpb.FreshnessRequirement:
    return fpb.FreshnessRequirement(
        use_case=fpb.USE_CASE_ANALYTICS,
        policy=fpb.FRESHNESS_POLICY_WAIT,
        at_least_token=token,
        only_source=source,
        want_session_token=True,
    )


@pytest.mark.parametrize("entity", ["typed", "a"])
async def test_an_entity(router: pb_grpc.QueryServiceAsyncStub, written: tuple[int, str], entity: str) -> None:
    answers = []
    for source in SOURCES:
        request = pb.GetEntityRequest(tenant_id=written[0], entity_key=entity, freshness=needed(source, written[1]))
        answer = await router.GetEntity(request, timeout=LIMIT)
        assert answer.freshness.source == source
        assert answer.freshness.session_token
        answer.entity.ClearField("silence")
        answers.append(answer.entity.SerializeToString(deterministic=True))
    assert answers[0] == answers[1] == answers[2]
    assert len(pb.Entity.FromString(answers[0]).values) == (9 if entity == "typed" else 1)


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_history_page_by_page(
    router: pb_grpc.QueryServiceAsyncStub, written: tuple[int, str], newest_first: bool
) -> None:
    answers = []
    for source in SOURCES:
        seen: list[tuple[int, str, object]] = []
        request = pb.GetAttributeHistoryRequest(
            tenant_id=written[0],
            entity_key="a",
            attribute_key="k",
            page_size=4,
            newest_first=newest_first,
            freshness=needed(source, written[1]),
        )
        pages = 0
        while pages == 0 or request.page_token:
            page = await router.GetAttributeHistory(request, timeout=LIMIT)
            assert page.freshness.source == source
            for observation in page.observations:
                kind = observation.value.WhichOneof("kind")
                assert kind is not None
                seen.append((observation.event_time.seconds, kind, getattr(observation.value, kind)))
            request.page_token = page.next_page_token
            pages += 1
        assert (len(seen), pages) == (6, 2)
        answers.append(seen)
    assert answers[0] == answers[1] == answers[2]
    assert answers[0] == sorted(answers[0], reverse=newest_first)
    assert 1000 in [value for _, _, value in answers[0]]


async def test_a_list_of_entities(router: pb_grpc.QueryServiceAsyncStub, written: tuple[int, str]) -> None:
    answers = []
    for source in SOURCES:
        listed: list[pb.Entity] = []
        request = pb.ListEntitiesRequest(
            tenant_id=written[0], attribute_keys=["k", "t1"], page_size=3, freshness=needed(source, written[1])
        )
        while not listed or request.page_token:
            page = await router.ListEntities(request, timeout=LIMIT)
            assert page.freshness.source == source
            listed += page.entities
            request.page_token = page.next_page_token
        for entity in listed:
            entity.ClearField("silence")
        answers.append(listed)
    assert answers[0] == answers[1] == answers[2]
    assert sorted(entity.entity_key for entity in answers[0]) == ["a", "b", "c", "typed"]


@pytest.mark.parametrize(
    "group_by",
    [
        [],
        [pb.Grouping(entity=True)],
        [pb.Grouping(time_bucket=Duration(seconds=120))],
        [pb.Grouping(entity=True), pb.Grouping(time_bucket=Duration(seconds=120))],
    ],
)
async def test_figures(
    router: pb_grpc.QueryServiceAsyncStub, written: tuple[int, str], group_by: list[pb.Grouping]
) -> None:
    functions = (
        pb.AGGREGATE_FUNCTION_COUNT,
        pb.AGGREGATE_FUNCTION_MIN,
        pb.AGGREGATE_FUNCTION_MAX,
        pb.AGGREGATE_FUNCTION_SUM,
        pb.AGGREGATE_FUNCTION_AVERAGE,
    )
    answers = []
    for source in SOURCES:
        groups: list[pb.AggregateGroup] = []
        request = pb.AggregateAttributeRequest(
            tenant_ids=[written[0]],
            attribute_key="k",
            aggregations=[pb.Aggregation(function=function) for function in functions],
            group_by=group_by,
            page_size=2,
            freshness=needed(source, written[1]),
        )
        while not groups or request.page_token:
            page = await router.AggregateAttribute(request, timeout=LIMIT)
            assert page.freshness.source == source
            groups += page.groups
            request.page_token = page.next_page_token
        answers.append(groups)
    assert answers[0] == answers[1] == answers[2]
    assert sum(group.results[0].count for group in answers[0]) == 18


@pytest.mark.parametrize("source", SOURCES)
async def test_a_position_is_waited_for(
    router: pb_grpc.QueryServiceAsyncStub,
    client: AtlasClient,
    written: tuple[int, str],
    source: fpb.DataSource.ValueType,
) -> None:
    fresh = await client.write_rows(written[0], [Write("waited", "k2", 1, NOON)])
    request = pb.WaitForPositionRequest(tenant_id=written[0], token=fresh.token, source=source)
    answer = await router.WaitForPosition(request, timeout=LIMIT)
    assert answer.freshness.source == source
    assert answer.freshness.position.wal_position_bytes >= int(fresh.token.split(".")[2], 16)


async def test_a_tenant_without_rows_has_none_in_any_copy(
    router: pb_grpc.QueryServiceAsyncStub, client: AtlasClient, written: tuple[int, str]
) -> None:
    tenant = (await client.create_tenant("copies-agree-empty")).tenant_id
    for source in SOURCES:
        request = pb.GetEntityRequest(tenant_id=tenant, entity_key="a", freshness=needed(source, written[1]))
        with pytest.raises(aio.AioRpcError) as refused:
            await router.GetEntity(request, timeout=LIMIT)
        assert refused.value.code() is StatusCode.NOT_FOUND
