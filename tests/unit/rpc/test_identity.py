"""Whose call it is: taken from metadata in one place, and never stretched to another tenant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from typing import Any

import pytest
from atlas.ingest.v1 import ingest_service_pb2 as ingest_pb
from atlas.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1.query_service_pb2_grpc import QueryServiceStub
from atlas_client import AtlasClient, CallFailed
from atlas_query_router.grants import Grants
from atlaskit.config import IdentityMode
from atlaskit.errors import IdentityMissing, InvalidRequest, NotGranted, TenantMismatch, Unavailable
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.errors import errors_from
from atlaskit.rpc.identity import Identity, current_identity, identity_of
from atlaskit.rpc.server import serving
from doubles.small_services import SmallServices
from grpc import StatusCode, aio

OPTIONAL, REQUIRED = IdentityMode.OPTIONAL, IdentityMode.REQUIRED
CALLER, TENANT = ("x-atlas-caller", "reports"), ("x-atlas-tenant", "7")
SOON = timedelta(seconds=5)


class Served:
    def __init__(self, mode: IdentityMode) -> None:
        self.services = SmallServices()
        self.mode = mode
        self.address = ""


@pytest.fixture(params=[OPTIONAL, REQUIRED])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    at = Served(request.param)
    async with serving(at.services.listed(), "127.0.0.1:0", drain=timedelta(0), identity=at.mode) as port:
        at.address = f"127.0.0.1:{port}"
        yield at


async def outcome(at: Served, request: Any, *metadata: tuple[str, str]) -> str:
    """The status, and the reason of a refusal."""
    async with aio.insecure_channel(at.address) as channel:
        stub = QueryServiceStub(channel)
        method = stub.GetEntity if isinstance(request, pb.GetEntityRequest) else stub.AggregateAttribute
        try:
            await method(request, timeout=5, metadata=metadata)
        except aio.AioRpcError as error:
            return f"{error.code().name} {errors_from(error).remote_reason}"
    return "OK"


ENTITY = pb.GetEntityRequest(tenant_id=7, entity_id=1)


async def test_a_call_that_names_another_tenant_than_it_acts_for_is_refused(served: Served) -> None:
    denied = "PERMISSION_DENIED TENANT_MISMATCH"
    assert await outcome(served, ENTITY, CALLER, TENANT) == "OK"
    assert await outcome(served, pb.GetEntityRequest(tenant_id=8, entity_id=1), CALLER, TENANT) == denied
    assert await outcome(served, pb.AggregateAttributeRequest(tenant_ids=[8]), CALLER, TENANT) == denied
    assert await outcome(served, pb.AggregateAttributeRequest(tenant_ids=[7, 8]), CALLER, TENANT) == denied
    assert [request.tenant_id for request in served.services.query.requests] == [7]
    assert served.services.query.searches == []


async def test_a_call_that_says_nothing_acts_for_the_tenant_it_names_unless_it_must_say(served: Served) -> None:
    expected = "OK" if served.mode is OPTIONAL else "UNAUTHENTICATED IDENTITY_REQUIRED"
    assert await outcome(served, ENTITY) == expected
    assert await outcome(served, ENTITY, TENANT) == expected
    # Who it is, and not for whom: no read of one tenant either.
    assert await outcome(served, ENTITY, CALLER) == expected


async def test_what_is_no_identity_or_two_of_them_is_refused(served: Served) -> None:
    wrong = "INVALID_ARGUMENT METADATA_MALFORMED"
    for tenant in ("", "0", "-1", "07", "7 ", "2147483648", "99999999999", "x", "7,8"):
        assert await outcome(served, ENTITY, CALLER, ("x-atlas-tenant", tenant)) == wrong, tenant
    assert await outcome(served, ENTITY, CALLER, TENANT, ("x-atlas-tenant", "8")) == wrong
    assert await outcome(served, ENTITY, CALLER, TENANT, CALLER) == wrong
    for caller in ("", "two words", "x" * 65):
        assert await outcome(served, ENTITY, ("x-atlas-caller", caller), TENANT) == wrong, caller


async def test_the_client_says_who_it_is_in_every_call_and_stream(served: Served) -> None:
    async with AtlasClient.connect(served.address, served.address, caller="reports", tenant=7) as client:
        await client.get_entity(7, "disk")
        await client.list_entities(7)
        written = await client.write_rows(7, [])
        assert written.request_id in served.services.ingest.stored
        with pytest.raises(CallFailed) as refused:
            await client.get_entity(8, "disk")
    assert (refused.value.code, refused.value.reason) == (StatusCode.PERMISSION_DENIED, "TENANT_MISMATCH")
    for caller, tenant in (("two words", 7), ("x" * 65, 7), ("reports", 0)):
        with pytest.raises(ValueError, match="must be"):
            async with AtlasClient.connect(served.address, served.address, caller=caller, tenant=tenant):
                pass


async def test_health_and_the_stream_of_the_monitor_are_for_everybody(served: Served) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with aio.insecure_channel(served.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_stream_says_who_opens_it_before_its_first_message() -> None:
    services = SmallServices()
    async with (
        serving(services.listed(), "127.0.0.1:0", drain=timedelta(0), identity=REQUIRED) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = IngestServiceStub(channel).StreamWriteAttributes(timeout=5)
        with pytest.raises(aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is StatusCode.UNAUTHENTICATED
        known = IngestServiceStub(channel).StreamWriteAttributes(timeout=5, metadata=(CALLER, TENANT))
        write = ingest_pb.WriteAttributesRequest(tenant_id=7, request_id="a")
        await known.write(ingest_pb.StreamWriteAttributesRequest(write=write))
        answer = await known.read()
        assert isinstance(answer, ingest_pb.StreamWriteAttributesResponse)
        assert answer.request_id == "a"


def test_an_identity_is_carried_on_as_it_came() -> None:
    identity = identity_of([CALLER, ("user-agent", "x"), TENANT], OPTIONAL)
    assert identity == Identity("reports", 7)
    assert identity_of(identity.metadata(), OPTIONAL) == identity
    assert identity_of([], OPTIONAL).metadata() == ()
    with pytest.raises(IdentityMissing):
        identity_of([TENANT], REQUIRED)
    with pytest.raises(InvalidRequest):
        identity_of([("x-atlas-tenant", b"7")], OPTIONAL)


async def test_the_identity_of_one_call_is_not_that_of_the_next() -> None:
    seen: list[Identity] = []
    services = SmallServices()
    plain = services.query.GetEntity

    async def noted(request: Any, context: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(_note(seen))
        return await plain(request, context)

    services.query.GetEntity = noted  # type: ignore[method-assign]
    async with (
        serving(services.listed(), "127.0.0.1:0", drain=timedelta(0)) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = QueryServiceStub(channel)
        await stub.GetEntity(ENTITY, timeout=5, metadata=(CALLER, TENANT))
        await stub.GetEntity(ENTITY, timeout=5)
    assert seen == [Identity("reports", 7), Identity()]


async def _note(seen: list[Identity]) -> None:
    seen.append(current_identity())


def test_a_call_confined_to_a_tenant_may_name_that_one_alone() -> None:
    Identity("a", 7).permit((7,))
    Identity("a", None).permit((7, 8))
    Identity("a", 7).permit(())
    with pytest.raises(TenantMismatch, match="tenant 8"):
        Identity("a", 7).permit((7, 8))
    with pytest.raises(IdentityMissing):
        Identity("a", None, strict=True).permit((7,))


class Book:
    """Grants in memory, and how often they were looked up."""

    def __init__(self, **granted: set[int]) -> None:
        self.granted = granted
        self.asked: list[tuple[str, list[int]]] = []
        self.away = False
        self.now = 0.0

    async def look(self, caller: str, tenant_ids: Collection[int], limit: timedelta) -> set[int]:
        self.asked.append((caller, list(tenant_ids)))
        if self.away:
            raise Unavailable("the primary does not answer")
        return self.granted.get(caller, set()) & set(tenant_ids)

    def grants(self) -> Grants:
        return Grants(self.look, timedelta(seconds=10), lambda: self.now, most=4)


async def test_a_read_of_several_tenants_needs_a_grant_for_each() -> None:
    book = Book(reports={1, 2})
    grants, deadline = book.grants(), Deadline.after(SOON)
    await grants.check("reports", [1, 2], deadline)
    with pytest.raises(NotGranted, match="tenant 3 ") as refused:
        await grants.check("reports", [1, 3, 2, 4], deadline)
    assert refused.value.tenant_id == 3
    with pytest.raises(NotGranted, match="tenant 2 "):
        await grants.check("other", [2, 1], deadline)


async def test_who_does_not_say_who_it_is_has_no_grant_and_costs_no_lookup() -> None:
    book = Book(**{"": {1, 2}})
    with pytest.raises(NotGranted, match="tenant 1 "):
        await book.grants().check("", [1, 2], Deadline.after(SOON))
    assert book.asked == []


async def test_a_grant_is_believed_for_its_age_and_no_longer() -> None:
    book = Book(reports={1, 2})
    grants, deadline = book.grants(), Deadline.after(SOON)
    await grants.check("reports", [1, 2], deadline)
    book.granted = {}
    book.now = 9.9
    await grants.check("reports", [2, 1], deadline)
    assert len(book.asked) == 1
    book.now = 10.0
    with pytest.raises(NotGranted):
        await grants.check("reports", [1, 2], deadline)


async def test_a_new_grant_counts_at_once_and_a_store_that_is_away_grants_nothing() -> None:
    book = Book()
    grants, deadline = book.grants(), Deadline.after(SOON)
    with pytest.raises(NotGranted):
        await grants.check("reports", [1, 2], deadline)
    book.granted = {"reports": {1, 2}}
    await grants.check("reports", [1, 2], deadline)
    book.away = True
    await grants.check("reports", [1, 2], deadline)
    with pytest.raises(Unavailable):
        await grants.check("reports", [1, 2, 3], deadline)


async def test_what_is_remembered_of_grants_is_bounded() -> None:
    book = Book(reports=set(range(1, 100)))
    grants = book.grants()
    await grants.check("reports", range(1, 50), Deadline.after(SOON))
    await grants.check("reports", [46, 47, 48, 49], Deadline.after(SOON))
    assert len(book.asked) == 1
    await grants.check("reports", [1, 49], Deadline.after(SOON))
    assert book.asked[1] == ("reports", [1])
