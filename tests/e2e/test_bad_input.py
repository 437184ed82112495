"""Bad input: each fault has its own status, reason and field path, and the good items are stored."""

import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas.ingest.v1 import value_pb2 as pb_value
from atlas_client import AtlasClient, CallFailed, Policy, Requirement, Source, Tenant, UseCase
from atlas_local.launch import Launched
from google.protobuf.timestamp_pb2 import Timestamp

AT = datetime(2026, 1, 1, tzinfo=UTC)
METHOD = "/atlas.ingest.v1.IngestService/WriteAttributes"
Register = Callable[..., Awaitable[Tenant]]


@pytest.fixture(scope="module")
async def channel(atlas: Launched) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(atlas.ingest) as opened:
        yield opened


def stamp(at: datetime, nanos: int = 0) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    timestamp.nanos += nanos
    return timestamp


def good(key: str = "k", value: float = 1.0) -> pb.AttributeWrite:
    write = pb.AttributeWrite(entity_key="e", attribute_key=key, event_time=stamp(AT))
    write.value.double_value = value
    return write


def request(tenant: int, *writes: pb.AttributeWrite) -> pb.WriteAttributesRequest:
    return pb.WriteAttributesRequest(
        tenant_id=tenant, request_id=str(uuid.uuid4()), rows=pb.RowBatch(writes=list(writes))
    )


async def refused(channel: grpc.aio.Channel, payload: bytes, timeout: float | None = 10.0) -> CallFailed:
    """Send these bytes and return what the service said of them."""
    call = channel.unary_unary(
        METHOD, request_serializer=bytes, response_deserializer=pb.WriteAttributesResponse.FromString
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(payload, timeout=timeout)
    return CallFailed.of(caught.value)


async def test_an_unknown_tenant_is_not_found(channel: grpc.aio.Channel) -> None:
    failure = await refused(channel, request(2_000_000_000, good()).SerializeToString())
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "TENANT_UNKNOWN")
    assert failure.field == "tenant_id"


async def test_a_call_without_a_deadline_is_refused(channel: grpc.aio.Channel, new_tenant: Register) -> None:
    tenant = await new_tenant()
    failure = await refused(channel, request(tenant.tenant_id, good()).SerializeToString(), timeout=None)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DEADLINE_REQUIRED")


async def test_an_empty_batch_is_refused_by_its_path(channel: grpc.aio.Channel, new_tenant: Register) -> None:
    tenant = await new_tenant()
    failure = await refused(channel, request(tenant.tenant_id).SerializeToString())
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_EMPTY")
    assert failure.field.startswith("rows")


async def test_a_batch_over_the_limit_is_refused_by_its_path(channel: grpc.aio.Channel, new_tenant: Register) -> None:
    tenant = await new_tenant()
    failure = await refused(channel, request(tenant.tenant_id, *[good()] * 50_001).SerializeToString())
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")
    assert failure.field.startswith("rows")


async def test_a_request_id_that_is_no_uuid_is_refused(channel: grpc.aio.Channel, new_tenant: Register) -> None:
    message = request((await new_tenant()).tenant_id, good())
    message.request_id = "once"
    failure = await refused(channel, message.SerializeToString())
    assert (failure.code, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, "request_id")


async def test_the_same_request_id_with_other_content_is_refused(client: AtlasClient, new_tenant: Register) -> None:
    from atlas_client import Write

    tenant = await new_tenant()
    request_id = str(uuid.uuid4())
    await client.write_rows(tenant.tenant_id, [Write("e", "k", 1, AT)], request_id=request_id)
    with pytest.raises(CallFailed) as caught:
        await client.write_rows(tenant.tenant_id, [Write("e", "k", 2, AT)], request_id=request_id)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REUSED")


async def test_each_bad_item_has_its_reason_and_path_and_the_good_ones_are_stored(
    client: AtlasClient, channel: grpc.aio.Channel, new_tenant: Register
) -> None:
    tenant = await new_tenant()
    now = datetime.now(UTC)
    nul, too_late, too_early, too_fine = good("a\0b"), good("late"), good("early"), good("fine")
    too_late.event_time.CopyFrom(stamp(now + timedelta(days=2)))
    too_early.event_time.CopyFrom(stamp(datetime(1969, 12, 31, tzinfo=UTC)))
    too_fine.event_time.CopyFrom(stamp(AT, nanos=1))
    numbered = good("numbered")
    numbered.entity_id = 5
    untyped = pb.AttributeWrite(entity_key="e", attribute_key="untyped", event_time=stamp(AT))
    long_key = good("x" * 513)
    bad = {
        1: (good("nan", math.nan), "rows.writes[1].value.double_value"),
        2: (good("inf", math.inf), "rows.writes[2].value.double_value"),
        3: (nul, "rows.writes[3].attribute_key"),
        4: (too_late, "rows.writes[4].event_time"),
        5: (too_early, "rows.writes[5].event_time"),
        6: (too_fine, "rows.writes[6].event_time"),
        7: (numbered, "rows.writes[7].entity_id"),
        8: (untyped, "rows.writes[8].value"),
        9: (long_key, "rows.writes[9].attribute_key"),
    }
    writes = [good("first"), *(write for write, _ in bad.values()), good("last")]
    call = channel.unary_unary(
        METHOD,
        request_serializer=pb.WriteAttributesRequest.SerializeToString,
        response_deserializer=pb.WriteAttributesResponse.FromString,
    )
    answer = await call(request(tenant.tenant_id, *writes), timeout=10)
    assert (answer.stored_count, answer.refused_count) == (2, len(bad))
    stored, refused_state = pb.ItemState.ITEM_STATE_STORED, pb.ItemState.ITEM_STATE_REFUSED
    assert list(answer.item_states) == [stored, *[refused_state] * len(bad), stored]
    assert {refusal.item_index: refusal.field for refusal in answer.refusals} == {
        index: path for index, (_, path) in bad.items()
    }
    assert all(refusal.reason and refusal.message for refusal in answer.refusals)
    wanted = Requirement(
        use_case=UseCase.ANALYTICS,
        policy=Policy.WAIT,
        at_least_token=answer.write_token,
        only_source=Source.PRIMARY,
    )
    read = await client.get_entity(tenant.tenant_id, "e", freshness=wanted)
    assert sorted(read.entity.values) == ["first", "last"]


async def test_text_that_is_not_utf8_is_refused_by_its_path(channel: grpc.aio.Channel, new_tenant: Register) -> None:
    tenant = await new_tenant()
    message = request(tenant.tenant_id, good("first"), good("\N{LATIN SMALL LETTER E WITH ACUTE}!"))
    payload = message.SerializeToString().replace("\N{LATIN SMALL LETTER E WITH ACUTE}!".encode(), b"\xe9!!")
    call = channel.unary_unary(
        METHOD, request_serializer=bytes, response_deserializer=pb.WriteAttributesResponse.FromString
    )
    try:
        answer = await call(payload, timeout=10.0)
    except grpc.aio.AioRpcError as error:
        failure = CallFailed.of(error)
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert failure.reason == "TEXT_NOT_UTF8"
    else:
        [refusal] = answer.refusals
        assert (refusal.item_index, refusal.reason) == (1, "TEXT_NOT_UTF8")
        assert refusal.field == "rows.writes[1].attribute_key"
        assert answer.stored_count == 1


async def test_columns_that_disagree_refuse_the_batch_by_the_columns_path(
    channel: grpc.aio.Channel, new_tenant: Register
) -> None:
    tenant = await new_tenant()
    columns = pb.ColumnBatch(
        entity_keys=["e"],
        attribute_keys=["k"],
        entity_indexes=[0, 0],
        attribute_indexes=[0, 1],
        event_times_us=[1, 2],
        value_types=[pb_value.VALUE_TYPE_INT64] * 2,
        int64_values=[5, 6],
    )
    message = pb.WriteAttributesRequest(tenant_id=tenant.tenant_id, request_id=str(uuid.uuid4()), columns=columns)
    failure = await refused(channel, message.SerializeToString())
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.field.startswith("columns.attribute_indexes")
    columns.attribute_indexes.pop()
    message.columns.CopyFrom(columns)
    failure = await refused(channel, message.SerializeToString())
    assert failure.field.startswith("columns.attribute_indexes")


async def test_what_is_not_a_message_is_an_invalid_argument(channel: grpc.aio.Channel) -> None:
    failure = await refused(channel, b"\xff\xff\xff\xff")
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
