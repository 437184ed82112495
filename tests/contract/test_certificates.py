"""Every answer carries its certificate in field 15 and in initial metadata, and so does every refusal for freshness."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_query_router.backends import Backend, Call, Reply
from atlas_query_router.fallback_gate import FallbackGate, Limits
from atlas_query_router.grants import Grants
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.page_token import PageTokens
from atlas_query_router.paging import Paging
from atlas_query_router.position_watch import PositionWatch, Reached
from atlas_query_router.questions import EntityQuestion, ListQuestion, PositionQuestion, Question
from atlas_query_router.router import Router
from atlas_query_router.servicer import QueryServicer
from atlas_query_router.tenants import TenantDirectory
from atlaskit.clock import SystemClock
from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.reading import CopyLag, PrimaryMode, Reading
from atlaskit.model import EntityIdentity, EntityState, Source, Tenant
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.rpc.errors import errors_from
from atlaskit.rpc.freshness_metadata import metadata_of
from atlaskit.rpc.server import Service, serving
from grpc import StatusCode, aio
from opentelemetry.trace import NoOpTracer

MS = timedelta(milliseconds=1)
TENANT = Tenant(1, "t", EntityIdentity.NUMBERED, 1, 10, b"0" * 16, datetime(2026, 1, 1, tzinfo=UTC))
STATE = EntityState(1, 1, "", "", None, ())
COUNT = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_COUNT)]
REQUESTS: dict[str, Any] = {
    "GetEntity": pb.GetEntityRequest(tenant_id=1, entity_id=1),
    "ListEntities": pb.ListEntitiesRequest(tenant_id=1),
    "GetAttributeHistory": pb.GetAttributeHistoryRequest(tenant_id=1, entity_id=1, attribute_key="k"),
    "AggregateAttribute": pb.AggregateAttributeRequest(tenant_ids=[1], attribute_key="k", aggregations=COUNT),
}
READS = list(REQUESTS)


class Copy:
    """A replica that answers everything with one proof, or with none."""

    source = Source.REPLICA

    def __init__(self) -> None:
        self.proof: Proof | None = Proof(SystemClock().boot().minus(20 * MS), 3, Lsn(1000))
        self.exists = True

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        if not worth(self.proof):
            return Reply(self.proof, answered=False)
        match question:
            case EntityQuestion():
                return Reply(self.proof, True, STATE if self.exists else None)
            case PositionQuestion():
                return Reply(self.proof, True, None)
            case ListQuestion():
                return Reply(self.proof, True, [STATE])
            case _:
                return Reply(self.proof, True, [])

    async def look(self, limit: timedelta) -> Reached:
        return lambda _: self.proof


class OneTenant:
    async def get(self, tenant_id: int, limit: timedelta) -> Tenant:
        return TENANT


async def nobody(caller: str, tenant_ids: Collection[int], limit: timedelta) -> set[int]:
    return set()


@asynccontextmanager
async def served(copy: Copy) -> AsyncIterator[pb_grpc.QueryServiceAsyncStub]:
    clock = SystemClock()
    board = LagBoard(clock, timedelta(hours=1))
    reading = Reading(
        SourceIdentity(7, 1), 3, primary_mode=PrimaryMode.SINGLE, copies={Source.REPLICA: CopyLag(5 * MS, True)}
    )
    assert await board.answer(board.question(), reading)
    backends: dict[Source, Backend] = {Source.REPLICA: copy}
    watches = {Source.REPLICA: PositionWatch(copy.look, interval=MS, limit=1000 * MS, most=8)}
    router = Router(
        backends,
        board,
        clock,
        NoOpTracer(),
        gate=FallbackGate(Limits(1, 1.0)),
        watches=watches,
        token_patience=timedelta(0),
    )
    directory = TenantDirectory(OneTenant(), OneTenant())  # type: ignore[arg-type]  # both are asked the same way
    servicer = QueryServicer(router, directory, Paging(PageTokens(b"k" * 32)), clock, Grants(nobody, timedelta(0)))
    descriptor = pb.DESCRIPTOR.services_by_name["QueryService"]
    service = Service.of(descriptor, pb_grpc.add_QueryServiceServicer_to_server, servicer)
    async with (
        serving([service], "127.0.0.1:0", drain=timedelta(seconds=1)) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield pb_grpc.QueryServiceStub(channel)


def asked(name: str, **freshness: Any) -> Any:
    request = type(REQUESTS[name])()
    request.CopyFrom(REQUESTS[name])
    request.freshness.CopyFrom(fpb.FreshnessRequirement(only_source=fpb.DATA_SOURCE_REPLICA, **freshness))
    return request


def headers(metadata: Any) -> dict[str, str]:
    return {key: text for key, text in metadata if key.startswith("x-")}


@pytest.mark.parametrize("name", READS)
async def test_an_answer_says_the_same_in_field_15_and_in_initial_metadata(name: str) -> None:
    async with served(Copy()) as router:
        call = getattr(router, name)(asked(name), timeout=5)
        sent = headers(await call.initial_metadata())
        certificate = (await call).freshness
    assert certificate.source == fpb.DATA_SOURCE_REPLICA
    assert certificate.staleness.ToTimedelta() >= 20 * MS
    assert certificate.basis == fpb.PROOF_BASIS_BOOT_CLOCK
    assert (certificate.position.epoch, certificate.position.wal_position_bytes) == (3, 1000)
    assert certificate.requested.HasField("max_staleness")
    assert certificate.HasField("read_time")
    assert sent == dict(metadata_of(certificate))
    assert set(sent) == {"x-data-source", "x-data-freshness-ms", "x-data-timestamp", "x-replication-lag-ms"}
    assert int(sent["x-data-freshness-ms"]) >= certificate.staleness.ToTimedelta() / MS


async def test_a_position_that_is_covered_is_certified_too() -> None:
    request = pb.WaitForPositionRequest(tenant_id=1, token="a1.3.10", source=fpb.DATA_SOURCE_REPLICA)
    async with served(Copy()) as router:
        call = router.WaitForPosition(request, timeout=5)
        sent = headers(await call.initial_metadata())
        certificate = (await call).freshness
    assert sent == dict(metadata_of(certificate))
    assert sent["x-data-source"] == "replica"


@pytest.mark.parametrize("name", READS)
async def test_an_unknown_age_has_no_header_no_basis_and_no_value(name: str) -> None:
    copy = Copy()
    copy.proof = None
    async with served(copy) as router:
        call = getattr(router, name)(asked(name, policy=fpb.FRESHNESS_POLICY_DEGRADE), timeout=5)
        sent = headers(await call.initial_metadata())
        certificate = (await call).freshness
    assert certificate.degraded
    assert not certificate.HasField("staleness")
    assert not certificate.HasField("position")
    assert certificate.basis == fpb.PROOF_BASIS_UNSPECIFIED
    assert set(sent) == {"x-data-source", "x-replication-lag-ms"}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        ({"max_staleness": timedelta(milliseconds=10)}, fpb.FALLBACK_REASON_TOO_STALE),
        ({"at_least_token": "a1.3.fff", "max_wait": timedelta(0)}, fpb.FALLBACK_REASON_TOKEN_NOT_COVERED),
    ],
)
async def test_a_refusal_carries_its_certificate_and_says_how_far_off_the_source_is(
    name: str, demand: dict[str, Any], reason: int
) -> None:
    async with served(Copy()) as router:
        with pytest.raises(aio.AioRpcError) as refused:
            await getattr(router, name)(asked(name, **demand), timeout=5)
    error = errors_from(refused.value)
    assert (error.code, error.remote_reason) == (StatusCode.FAILED_PRECONDITION, "NOT_FRESH_ENOUGH")
    assert error.freshness is not None
    [passed] = error.freshness.fallbacks
    assert (passed.source, passed.reason) == (fpb.DATA_SOURCE_REPLICA, reason)
    assert passed.staleness.ToTimedelta() >= 20 * MS
    assert passed.HasField("missing_wal_bytes") == (reason == fpb.FALLBACK_REASON_TOKEN_NOT_COVERED)
    assert error.freshness.basis == fpb.PROOF_BASIS_UNSPECIFIED
    assert headers(refused.value.initial_metadata() or ()) == dict(metadata_of(error.freshness))


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(("token", "reason"), [("a1.2.10", "TOKEN_LOST"), ("a1.4.10", "TOKEN_EPOCH_UNKNOWN")])
async def test_a_token_of_another_history_is_refused_on_every_read(name: str, token: str, reason: str) -> None:
    async with served(Copy()) as router:
        with pytest.raises(aio.AioRpcError) as refused:
            await getattr(router, name)(asked(name, at_least_token=token), timeout=5)
    error = errors_from(refused.value)
    assert (error.code, error.remote_reason) == (StatusCode.FAILED_PRECONDITION, reason)
    assert error.freshness is not None
    assert error.freshness.requested.at_least_token == token


async def test_what_does_not_exist_is_certified_as_an_answer_is() -> None:
    copy = Copy()
    copy.exists = False
    async with served(copy) as router:
        with pytest.raises(aio.AioRpcError) as missing:
            await router.GetEntity(asked("GetEntity"), timeout=5)
    error = errors_from(missing.value)
    assert error.code is StatusCode.NOT_FOUND
    assert error.freshness is not None
    assert error.freshness.HasField("staleness")
    assert headers(missing.value.initial_metadata() or ())["x-data-source"] == "replica"
