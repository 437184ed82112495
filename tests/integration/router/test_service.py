from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.model import TypedValue, ValueType, entity_id_of
from atlaskit.rpc.errors import errors_from
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode, aio

from .seeded import HASH_KEY
from .worlds import DASHBOARD, NOON, World


async def test_an_entity_comes_from_the_replica_with_its_certificate_in_body_and_metadata(world: World) -> None:
    request = pb.GetEntityRequest(tenant_id=world.tenant, entity_key="e", freshness=DASHBOARD)
    call = world.router.GetEntity(request, timeout=5)
    metadata = dict(await call.initial_metadata())
    answer = await call
    assert answer.entity.entity_id == entity_id_of(HASH_KEY, "e")
    assert [(v.attribute_key, v.value.int64_value) for v in answer.entity.values] == [("k", 1)]
    assert answer.entity.silence.seconds > 0
    assert answer.freshness.source == fpb.DATA_SOURCE_REPLICA
    assert timedelta(0) < answer.freshness.staleness.ToTimedelta() < timedelta(seconds=1)
    assert answer.freshness.position.epoch == 1
    assert metadata["x-data-source"] == "replica"
    assert int(metadata["x-data-freshness-ms"]) >= 1
    assert not answer.freshness.degraded


async def test_a_paused_replica_moves_the_answer_to_the_primary_and_says_why(world: World) -> None:
    await world.database.cluster.replica.pause_replay()
    try:
        await world.value("k2", 2)
        token = await world.token()
        answer = await world.get(fpb.FreshnessRequirement(use_case=fpb.USE_CASE_DASHBOARD, at_least_token=token))
        assert answer.freshness.source == fpb.DATA_SOURCE_PRIMARY
        assert [f.reason for f in answer.freshness.fallbacks] == [fpb.FALLBACK_REASON_TOKEN_NOT_COVERED]
        assert {v.attribute_key for v in answer.entity.values} == {"k", "k2"}
        only = fpb.FreshnessRequirement(
            at_least_token=token, only_source=fpb.DATA_SOURCE_REPLICA, max_wait=Duration(nanos=100_000_000)
        )
        error = await world.refused(world.get(only))
        assert (error.code, error.remote_reason) == (StatusCode.FAILED_PRECONDITION, "NOT_FRESH_ENOUGH")
        assert error.freshness is not None
        assert error.freshness.fallbacks[0].HasField("staleness")
    finally:
        await world.database.cluster.replica.resume_replay()
    wait = pb.WaitForPositionRequest(tenant_id=world.tenant, token=token, source=fpb.DATA_SOURCE_REPLICA)
    assert (await world.router.WaitForPosition(wait, timeout=10)).freshness.source == fpb.DATA_SOURCE_REPLICA
    assert (await world.get(only)).freshness.source == fpb.DATA_SOURCE_REPLICA


async def test_frozen_replay_grows_older_by_proof_whatever_is_polled(world: World) -> None:
    await world.database.cluster.replica.pause_replay()
    try:
        requirement = fpb.FreshnessRequirement(
            max_staleness=Duration(nanos=300_000_000), only_source=fpb.DATA_SOURCE_REPLICA
        )
        requirement.policy = fpb.FRESHNESS_POLICY_DEGRADE
        while not (answer := await world.get(requirement)).freshness.degraded:
            await world.value(f"w{world.database.version}", 1)
        assert answer.freshness.staleness.ToTimedelta() > timedelta(milliseconds=300)
    finally:
        await world.database.cluster.replica.resume_replay()


async def test_realtime_is_read_from_the_primary_which_proves_itself(world: World) -> None:
    answer = await world.get(fpb.FreshnessRequirement(use_case=fpb.USE_CASE_REALTIME_ALERT, want_session_token=True))
    assert answer.freshness.source == fpb.DATA_SOURCE_PRIMARY
    assert answer.freshness.staleness.ToTimedelta() < timedelta(milliseconds=100)
    assert answer.freshness.session_token.startswith("a1.1.")


async def test_a_session_token_never_shows_less_afterwards(world: World) -> None:
    first = await world.get(fpb.FreshnessRequirement(use_case=fpb.USE_CASE_DASHBOARD, want_session_token=True))
    assert first.freshness.session_token
    again = await world.get(
        fpb.FreshnessRequirement(only_source=fpb.DATA_SOURCE_REPLICA, at_least_token=first.freshness.session_token)
    )
    assert again.freshness.source == fpb.DATA_SOURCE_REPLICA


async def test_a_primary_that_the_monitor_does_not_know_proves_nothing(
    world: World, eventually: Callable[..., Awaitable[None]]
) -> None:
    world.monitor.epoch = 0

    async def refused() -> None:
        realtime = fpb.FreshnessRequirement(use_case=fpb.USE_CASE_REALTIME_ALERT)
        assert await reason_of(world.get(realtime)) == "NOT_FRESH_ENOUGH"

    await eventually(refused)


async def test_pages_follow_each_other_from_one_copy(world: World) -> None:
    entity = entity_id_of(HASH_KEY, "e")
    for minute in range(5):
        when = NOON + timedelta(minutes=minute)
        await world.database.value(world.tenant, entity, "h", when, TypedValue(ValueType.INT64, minute))
    token = await world.token()
    request = pb.GetAttributeHistoryRequest(
        tenant_id=world.tenant, entity_key="e", attribute_key="h", page_size=2, newest_first=True
    )
    request.freshness.at_least_token = token
    seen: list[int] = []
    for _ in range(3):
        page = await world.router.GetAttributeHistory(request, timeout=5)
        seen += [observation.value.int64_value for observation in page.observations]
        request.page_token = page.next_page_token
    assert seen == [4, 3, 2, 1, 0]
    assert not request.page_token
    changed = pb.GetAttributeHistoryRequest(tenant_id=world.tenant, entity_key="e", attribute_key="k")
    changed.page_token = "AAAA"
    assert (await world.refused(world.router.GetAttributeHistory(changed, timeout=5))).remote_reason == (
        "PAGE_TOKEN_INVALID"
    )


async def test_entities_and_figures_are_answered_too(world: World) -> None:
    token = await world.token()
    listed = pb.ListEntitiesRequest(tenant_id=world.tenant, attribute_keys=["k"])
    listed.freshness.at_least_token = token
    entities = (await world.router.ListEntities(listed, timeout=5)).entities
    assert [(e.entity_key, e.values[0].value.int64_value) for e in entities] == [("e", 1)]
    request = pb.AggregateAttributeRequest(tenant_ids=[world.tenant], attribute_key="k")
    for function in (pb.AGGREGATE_FUNCTION_COUNT, pb.AGGREGATE_FUNCTION_SUM, pb.AGGREGATE_FUNCTION_AVERAGE):
        request.aggregations.add(function=function)
    request.freshness.at_least_token = token
    answer = await world.router.AggregateAttribute(request, timeout=5)
    count, total, mean = answer.groups[0].results
    assert (count.count, total.exact_sum, mean.value.double_value) == (1, "1", 1.0)
    assert answer.freshness.fallbacks[0].source == fpb.DATA_SOURCE_OLAP
    request.attribute_key = "no such key"
    empty = (await world.router.AggregateAttribute(request, timeout=5)).groups
    assert [result.count for result in empty[0].results[:1]] == [0]
    assert empty[0].results[2].WhichOneof("result") is None


async def test_what_is_missing_is_named(world: World) -> None:
    unknown = pb.GetEntityRequest(tenant_id=2**31 - 1, entity_key="e")
    error = await world.refused(world.router.GetEntity(unknown, timeout=5))
    assert (error.code, error.remote_reason) == (StatusCode.NOT_FOUND, "TENANT_UNKNOWN")
    missing = pb.GetEntityRequest(tenant_id=world.tenant, entity_key="nobody", freshness=DASHBOARD)
    error = await world.refused(world.router.GetEntity(missing, timeout=5))
    assert (error.code, error.remote_reason) == (StatusCode.NOT_FOUND, "NOT_FOUND")
    assert error.freshness is not None
    assert error.freshness.source == fpb.DATA_SOURCE_REPLICA
    error = await world.refused(world.router.GetEntity(missing))
    assert error.remote_reason == "DEADLINE_REQUIRED"


async def test_a_position_that_never_comes_ends_with_the_deadline(world: World) -> None:
    request = pb.WaitForPositionRequest(
        tenant_id=world.tenant, token="a1.1.7fffffffffff", source=fpb.DATA_SOURCE_REPLICA
    )
    with pytest.raises(aio.AioRpcError) as refused:
        await world.router.WaitForPosition(request, timeout=0.5)
    assert refused.value.code() is StatusCode.DEADLINE_EXCEEDED


async def test_a_replica_that_hangs_leaves_time_for_the_primary(world: World) -> None:
    world.database.cluster.replica.pause()
    try:
        answer = await world.get(DASHBOARD, seconds=3)
        assert answer.freshness.source == fpb.DATA_SOURCE_PRIMARY
        assert [f.reason for f in answer.freshness.fallbacks] == [fpb.FALLBACK_REASON_UNAVAILABLE]
    finally:
        world.database.cluster.replica.resume()
    answer = await world.get(fpb.FreshnessRequirement(only_source=fpb.DATA_SOURCE_REPLICA))
    assert answer.freshness.source == fpb.DATA_SOURCE_REPLICA


async def reason_of(call: Awaitable[object]) -> str:
    """Return why the call was refused; empty if it was not."""
    try:
        await call
    except aio.AioRpcError as error:
        return errors_from(error).remote_reason
    return ""
