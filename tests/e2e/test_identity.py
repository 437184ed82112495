"""A call acts for one tenant in every service, and reads across tenants are refused without a grant."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import httpx
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as ingest_pb
from atlas.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from atlas.query.v1 import query_service_pb2 as pb
from atlas_client import AtlasClient, CallFailed, Policy, Requirement, Tenant, UseCase, Write, batches_of
from atlas_local.launch import Launched
from grpc import StatusCode, aio

ROW = Write("disk", "temp_c", 38.5, datetime(2026, 1, 2, tzinfo=UTC))
COUNT = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_COUNT)]


@pytest.fixture
async def own(new_tenant: Callable[..., Awaitable[Tenant]]) -> Tenant:
    return await new_tenant()


@pytest.fixture
async def other(new_tenant: Callable[..., Awaitable[Tenant]]) -> Tenant:
    return await new_tenant()


@pytest.fixture
async def confined(atlas: Launched, own: Tenant) -> AsyncIterator[AtlasClient]:
    """A client that acts for its own tenant alone."""
    async with AtlasClient.connect(atlas.ingest, atlas.query, caller="portal", tenant=own.tenant_id) as connected:
        yield connected


async def reason(call: Awaitable[object]) -> tuple[StatusCode, str]:
    with pytest.raises(CallFailed) as refused:
        await call
    return refused.value.code, refused.value.reason


MISMATCH = (StatusCode.PERMISSION_DENIED, "TENANT_MISMATCH")


async def test_a_confined_client_writes_and_reads_its_own_tenant_and_no_other(
    confined: AtlasClient, client: AtlasClient, own: Tenant, other: Tenant
) -> None:
    await confined.write_rows(own.tenant_id, [ROW])
    await client.write_rows(other.tenant_id, [ROW])
    alert = Requirement(UseCase.REALTIME_ALERT, policy=Policy.WAIT)
    read = await confined.get_entity(own.tenant_id, "disk", freshness=alert)
    assert read.entity.values["temp_c"].value == 38.5
    number = other.tenant_id
    assert await reason(confined.write_rows(number, [ROW])) == MISMATCH
    assert await reason(confined.get_entity(number, "disk")) == MISMATCH
    assert await reason(confined.list_entities(number)) == MISMATCH
    assert await reason(confined.history(number, "disk", "temp_c")) == MISMATCH
    assert await reason(confined.aggregate([number], "temp_c", COUNT)) == MISMATCH
    assert await reason(confined.aggregate([own.tenant_id, number], "temp_c", COUNT)) == MISMATCH
    assert await reason(confined.describe_attributes(number)) == MISMATCH
    assert [one.tenant_id for one in await confined.list_tenants()] == [own.tenant_id]
    assert (await reason(confined.create_tenant("test/another/")))[0] is StatusCode.PERMISSION_DENIED


async def test_a_batch_of_a_stream_for_another_tenant_is_refused_and_the_stream_goes_on(
    atlas: Launched, own: Tenant, other: Tenant
) -> None:
    metadata = (("x-atlas-caller", "portal"), ("x-atlas-tenant", str(own.tenant_id)))
    reasons = []
    async with aio.insecure_channel(atlas.ingest) as channel:
        stream = IngestServiceStub(channel).StreamWriteAttributes(timeout=30, metadata=metadata)
        for tenant in (own, other, own):
            write = ingest_pb.WriteAttributesRequest(tenant_id=tenant.tenant_id, request_id=str(uuid.uuid4()))
            write.columns.CopyFrom(next(batches_of([ROW])))
            await stream.write(ingest_pb.StreamWriteAttributesRequest(write=write))
            answer = await stream.read()
            assert isinstance(answer, ingest_pb.StreamWriteAttributesResponse)
            reasons.append(answer.error.reason)
        await stream.done_writing()
    assert reasons == ["", "TENANT_MISMATCH", ""]


async def test_the_gateway_hands_on_for_whom_a_request_acts(atlas: Launched, client: AtlasClient, own: Tenant) -> None:
    await client.write_rows(own.tenant_id, [ROW])
    number = str(own.tenant_id)
    async with httpx.AsyncClient(base_url=atlas.platform.gateway_url) as http:
        for acts_for, status in ((number, 200), (str(own.tenant_id + 1), 403)):
            headers = {"X-Tenant-Id": number, "X-Atlas-Tenant": acts_for, "X-Request-Timeout-Ms": "10000"}
            query = {"use_case": "realtime_alert"}
            answer = await http.get("/api/v1/entities/disk/status", headers=headers, params=query)
            assert answer.status_code == status, answer.text


async def test_a_read_across_tenants_without_a_grant_names_the_first_tenant_that_lacks_one(
    atlas: Launched, client: AtlasClient, own: Tenant, other: Tenant
) -> None:
    both = [other.tenant_id, own.tenant_id]
    denied = (StatusCode.PERMISSION_DENIED, "TENANT_NOT_GRANTED")
    assert await reason(client.aggregate(both, "temp_c", COUNT)) == denied
    async with AtlasClient.connect(atlas.ingest, atlas.query, caller="reports") as reports:
        with pytest.raises(CallFailed) as refused:
            await reports.aggregate(both, "temp_c", COUNT)
    assert refused.value.metadata["tenant_id"] == str(other.tenant_id)
