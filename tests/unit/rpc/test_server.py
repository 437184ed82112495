"""What every service of Atlas promises around its calls."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from atlas.freshness.v1.freshness_pb2 import DATA_SOURCE_REPLICA, Freshness
from atlas.lag.v1 import lag_service_pb2 as lag_pb
from atlas.lag.v1.lag_service_pb2_grpc import LagServiceStub
from atlas.query.v1.query_service_pb2 import GetEntityRequest
from atlas.query.v1.query_service_pb2_grpc import QueryServiceStub
from atlas_local.process import until
from atlaskit.errors import (
    AlreadyExists,
    AtlasError,
    ConfigurationWrong,
    DeadlinePassed,
    InvalidRequest,
    NotBuilt,
    NotFound,
    NotFreshEnough,
    OutcomeUnknown,
    Overloaded,
    RequestIdReused,
    TenantUnknown,
    TokenLost,
)
from atlaskit.rpc.certificate import certified
from atlaskit.rpc.client import open_channel, service_config
from atlaskit.rpc.errors import RemoteError, errors_from
from atlaskit.rpc.server import MAX_REQUEST_BYTES, serving
from doubles.small_services import SmallServices
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = ("ingest.v1.IngestService", "ingest.v1.TenantService", "query.v1.QueryService", "lag.v1.LagService")
ENTITY = GetEntityRequest(tenant_id=1, entity_key="disk")


@pytest.fixture
def services() -> SmallServices:
    return SmallServices()


@pytest.fixture
async def channel(services: SmallServices) -> AsyncIterator[aio.Channel]:
    async with services.served() as address, open_channel(address) as opened:
        yield opened


async def refusal(channel: aio.Channel, request: GetEntityRequest = ENTITY, timeout: float | None = 5) -> RemoteError:
    with pytest.raises(aio.AioRpcError) as caught:
        await QueryServiceStub(channel).GetEntity(request, timeout=timeout)
    return errors_from(caught.value)


async def test_a_call_without_a_deadline_is_refused(channel: aio.Channel, services: SmallServices) -> None:
    refused = await refusal(channel, timeout=None)
    assert (refused.code, refused.remote_reason) == (StatusCode.INVALID_ARGUMENT, "DEADLINE_REQUIRED")
    assert services.query.requests == []


async def test_what_a_refused_call_held_is_free_without_a_collection_of_garbage(
    channel: aio.Channel, services: SmallServices
) -> None:
    error = NotFound("no such entity")
    kept = weakref.ref(error)
    services.query.failures.append(error)
    del error
    gc.collect()
    gc.disable()
    try:
        await refusal(channel)
        async with asyncio.timeout(5):
            await until(lambda: kept() is None, every=0.01)
            # The list of the double, and the argument of the function that counts.
            await until(lambda: sys.getrefcount(services.query.requests[0]) == 2, every=0.01)
    finally:
        gc.enable()


async def test_health_reflection_and_the_lag_stream_need_no_deadline(channel: aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", *[f"atlas.{name}" for name in NAMES]):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # typed for threads only
    stream = reflection.ServerReflectionInfo(iter([asked]))
    listed = {service.name for service in (await stream.read()).list_services_response.service}
    assert {"atlas.ingest.v1.TenantService", "atlas.lag.v1.LagService", "grpc.health.v1.Health"} <= listed
    watch = LagServiceStub(channel).WatchLag()
    await watch.write(lag_pb.WatchLagRequest(nonce=7))
    assert await watch.read() == lag_pb.WatchLagResponse(nonce=7)
    watch.cancel()


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidRequest("rows", "is empty", "BATCH_EMPTY"), StatusCode.INVALID_ARGUMENT, "BATCH_EMPTY"),
        (TenantUnknown(9), StatusCode.NOT_FOUND, "TENANT_UNKNOWN"),
        (NotFound("no such entity"), StatusCode.NOT_FOUND, "NOT_FOUND"),
        (AlreadyExists("a"), StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"),
        (RequestIdReused("a"), StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REUSED"),
        (NotBuilt("a"), StatusCode.UNIMPLEMENTED, "NOT_BUILT"),
        (Overloaded("the queue", timedelta(seconds=2)), StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (DeadlinePassed("a"), StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
        (NotFreshEnough("a"), StatusCode.FAILED_PRECONDITION, "NOT_FRESH_ENOUGH"),
        (TokenLost("a"), StatusCode.FAILED_PRECONDITION, "TOKEN_LOST"),
        (AtlasError("a"), StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_each_error_has_its_status_and_reason(
    channel: aio.Channel, services: SmallServices, error: AtlasError, code: StatusCode, reason: str
) -> None:
    services.query.failures.append(error)
    refused = await refusal(channel)
    assert (refused.code, refused.remote_reason, refused.message) == (code, reason, str(error))
    assert refused.remote_metadata == error.metadata
    assert refused.field == error.metadata.get("field", "")


async def test_a_full_queue_says_when_to_come_again(channel: aio.Channel, services: SmallServices) -> None:
    services.query.failures.append(Overloaded("the queue", timedelta(milliseconds=1500)))
    assert (await refusal(channel)).retry_after == timedelta(milliseconds=1500)


async def test_the_cause_is_found_in_a_group_of_errors(channel: aio.Channel, services: SmallServices) -> None:
    services.query.failures.append(ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("y", [NotFound("z")])]))
    assert (await refusal(channel)).code is StatusCode.NOT_FOUND


async def test_an_error_without_a_name_tells_the_caller_nothing(channel: aio.Channel, services: SmallServices) -> None:
    services.query.failures.append(ValueError("password=hunter2"))
    refused = await refusal(channel)
    assert refused.code is StatusCode.INTERNAL
    assert "hunter2" not in refused.message


async def test_unavailable_is_called_again_when_the_method_allows_it(
    channel: aio.Channel, services: SmallServices
) -> None:
    services.query.failures.extend([OutcomeUnknown("a"), OutcomeUnknown("b")])
    assert (await QueryServiceStub(channel).GetEntity(ENTITY, timeout=5)).entity.entity_key == "disk"
    assert len(services.query.requests) == 3


def test_streams_are_never_retried_by_the_channel() -> None:
    named = {name["method"] for name in service_config()["methodConfig"][0]["name"]}
    assert {"WriteAttributes", "GetEntity", "CreateTenant", "GetLag"} <= named
    assert not named & {"WatchLag", "StreamWriteAttributes"}


async def test_the_certificate_comes_before_the_answer_in_initial_metadata(channel: aio.Channel) -> None:
    call = QueryServiceStub(channel).GetEntity(ENTITY, timeout=5)
    found = dict(iter(await call.initial_metadata()))
    assert (found["x-data-source"], found["x-data-freshness-ms"]) == ("replica", "13")
    assert "x-replication-lag-ms" not in found  # unknown is not sent
    await call


async def test_a_refusal_carries_its_certificate(channel: aio.Channel, services: SmallServices) -> None:
    certificate = Freshness(source=DATA_SOURCE_REPLICA)
    services.query.failures.append(certified(NotFound("no such entity"), certificate))
    with pytest.raises(aio.AioRpcError) as caught:
        await QueryServiceStub(channel).GetEntity(ENTITY, timeout=5)
    assert errors_from(caught.value).freshness == certificate
    assert dict(iter(caught.value.initial_metadata()))["x-data-source"] == "replica"


async def test_an_oversized_request_is_refused(services: SmallServices) -> None:
    async with services.served() as address, aio.insecure_channel(address) as unlimited:
        request = GetEntityRequest(tenant_id=1, entity_key="x" * MAX_REQUEST_BYTES)
        assert (await refusal(unlimited, request)).code is StatusCode.RESOURCE_EXHAUSTED


async def test_a_drain_lets_running_calls_end_and_takes_no_new_ones(services: SmallServices) -> None:
    services.query.gate = asyncio.Event()
    draining = asyncio.Event()
    server = services.served(draining=draining)
    async with open_channel(address := await server.__aenter__()) as channel, open_channel(address) as other:
        health: Any = health_pb2_grpc.HealthStub(other)
        watched = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watched.read()).status == SERVING
        running = QueryServiceStub(channel).GetEntity(ENTITY, timeout=20)
        await services.query.entered.wait()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(server.__aexit__(None, None, None))
            await draining.wait()
            late = await refusal(other, timeout=1)
            assert late.code in {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED}
            assert not stopping.done()
            services.query.gate.set()
        assert (await running).entity.entity_key == "disk"


async def test_endless_calls_do_not_hold_a_drain(services: SmallServices) -> None:
    async with services.served(drain=timedelta(seconds=30)) as address:
        channel = aio.insecure_channel(address)
        watch = LagServiceStub(channel).WatchLag()
        await watch.write(lag_pb.WatchLagRequest(nonce=1))
        await watch.read()
        begun = time.monotonic()
    assert time.monotonic() - begun < 10
    assert await watch.code() is StatusCode.UNAVAILABLE
    await channel.close()


async def test_an_endless_call_whose_caller_does_not_read_does_not_hold_a_drain_either(
    services: SmallServices, eventually: Callable[..., Awaitable[None]]
) -> None:
    services.lag.flood = True
    seen = -1

    async def stuck() -> None:
        nonlocal seen
        seen, before = services.lag.filled, seen
        assert services.lag.filled == before > 0

    async with services.served(drain=timedelta(seconds=30)) as address:
        channel = aio.insecure_channel(address)
        watch = LagServiceStub(channel).WatchLag()
        await watch.write(lag_pb.WatchLagRequest(nonce=1))
        await watch.read()
        await eventually(stuck)
        begun = time.monotonic()
    assert time.monotonic() - begun < 10
    await channel.close()


async def test_a_call_that_outlives_the_drain_is_aborted(services: SmallServices) -> None:
    services.query.gate = asyncio.Event()
    async with services.served(drain=timedelta(milliseconds=50)) as address:
        channel = aio.insecure_channel(address)
        running = QueryServiceStub(channel).GetEntity(ENTITY, timeout=20)
        await services.query.entered.wait()
    assert await running.code() is not StatusCode.OK
    await channel.close()


async def test_a_taken_port_is_a_fault_of_the_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigurationWrong, match="cannot listen"):
        async with serving([], f"127.0.0.1:{taken.getsockname()[1]}"):
            pass
