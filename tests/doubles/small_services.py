"""Services of the real contracts with the least behaviour that shows what stands around them; kept in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from atlas.freshness.v1.freshness_pb2 import DATA_SOURCE_REPLICA, Freshness
from atlas.ingest.v1 import ingest_service_pb2 as ingest_pb
from atlas.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from atlas.lag.v1 import lag_service_pb2 as lag_pb
from atlas.lag.v1 import lag_service_pb2_grpc as lag_grpc
from atlas.query.v1 import query_service_pb2 as query_pb
from atlas.query.v1 import query_service_pb2_grpc as query_grpc
from atlaskit.errors import NotBuilt, Unavailable
from atlaskit.rpc.errors import batch_error_of
from atlaskit.rpc.freshness_metadata import send_freshness
from atlaskit.rpc.server import Service, serving
from atlaskit.telemetry.metrics import NO_METER
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer


class SmallIngest(ingest_grpc.IngestServiceServicer):
    """Stores each batch under its request id. `failures` are raised, the first one first, each once."""

    def __init__(self) -> None:
        self.stored: dict[str, ingest_pb.WriteAttributesRequest] = {}
        self.deleted: list[ingest_pb.DeleteAttributesRequest] = []
        self.asked: list[str] = []
        self.failures: deque[Exception] = deque()
        self.breaks_after: int | None = None  # answers in a stream after which it breaks, once

    async def WriteAttributes(  # noqa: N802
        self, request: ingest_pb.WriteAttributesRequest, context: Any
    ) -> ingest_pb.WriteAttributesResponse:
        self.asked.append(request.request_id)
        if self.failures:
            raise self.failures.popleft()
        repeated = request.request_id in self.stored
        self.stored[request.request_id] = request
        count = len(request.columns.value_types) or len(request.rows.writes)
        return ingest_pb.WriteAttributesResponse(
            stored_count=count,
            write_token=f"a1.1.{0x1000 + list(self.stored).index(request.request_id):x}",
            reached_ack_level=ingest_pb.ACK_LEVEL_COMMITTED,
            repeated=repeated,
        )

    async def StreamWriteAttributes(  # noqa: N802
        self, request_iterator: AsyncIterator[ingest_pb.StreamWriteAttributesRequest], context: Any
    ) -> AsyncIterator[ingest_pb.StreamWriteAttributesResponse]:
        answered = 0
        async for request in request_iterator:
            if answered == self.breaks_after:
                self.breaks_after = None
                raise ConnectionLost
            answer = ingest_pb.StreamWriteAttributesResponse(request_id=request.write.request_id)
            try:
                answer.written.CopyFrom(await self.WriteAttributes(request.write, context))
            except Exception as error:  # noqa: BLE001
                answer.error.CopyFrom(batch_error_of(error))
            answered += 1
            yield answer

    async def DeleteAttributes(  # noqa: N802
        self, request: ingest_pb.DeleteAttributesRequest, context: Any
    ) -> ingest_pb.DeleteAttributesResponse:
        self.deleted.append(request)
        return ingest_pb.DeleteAttributesResponse(stored_count=len(request.deletes), write_token="a1.1.2000")


class ConnectionLost(Unavailable):
    """The connection breaks in the middle of a stream."""


class SmallTenants(ingest_grpc.TenantServiceServicer):
    """Registers tenants; two to a page, so that paging shows."""

    def __init__(self) -> None:
        self.tenants: list[ingest_pb.Tenant] = []

    async def CreateTenant(  # noqa: N802
        self, request: ingest_pb.CreateTenantRequest, context: Any
    ) -> ingest_pb.CreateTenantResponse:
        tenant = ingest_pb.Tenant(
            tenant_id=len(self.tenants) + 1, name=request.name, entity_identity=request.entity_identity
        )
        self.tenants.append(tenant)
        return ingest_pb.CreateTenantResponse(tenant=tenant)

    async def ListTenants(  # noqa: N802
        self, request: ingest_pb.ListTenantsRequest, context: Any
    ) -> ingest_pb.ListTenantsResponse:
        start = int(request.page_token or "0")
        more = start + 2 < len(self.tenants)
        return ingest_pb.ListTenantsResponse(
            tenants=self.tenants[start : start + 2], next_page_token=str(start + 2) if more else ""
        )


class SmallQuery(query_grpc.QueryServiceServicer):
    """Answers with one entity; `failures` as in SmallIngest; `gate` holds calls once they have `entered`."""

    def __init__(self) -> None:
        self.requests: list[query_pb.GetEntityRequest] = []
        self.waited: list[query_pb.WaitForPositionRequest] = []
        self.searches: list[query_pb.ListEntitiesRequest | query_pb.AggregateAttributeRequest] = []
        self.failures: deque[Exception] = deque()
        self.wait_failures: deque[Exception] = deque()
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.certificate = Freshness(source=DATA_SOURCE_REPLICA, session_token="a1.1.3000")
        self.certificate.staleness.FromTimedelta(timedelta(microseconds=12_345))

    async def GetEntity(  # noqa: N802
        self, request: query_pb.GetEntityRequest, context: Any
    ) -> query_pb.GetEntityResponse:
        self.requests.append(request)
        if self.failures:
            raise self.failures.popleft()
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        await send_freshness(context, self.certificate)
        entity = query_pb.Entity(tenant_id=request.tenant_id, entity_id=5, entity_key=request.entity_key)
        value = entity.values.add(attribute_key="hot")
        value.value.uint64_value = 7
        return query_pb.GetEntityResponse(entity=entity, freshness=self.certificate)

    async def ListEntities(self, request: Any, context: Any) -> query_pb.ListEntitiesResponse:  # noqa: N802
        self.searches.append(request)
        return query_pb.ListEntitiesResponse(freshness=self.certificate)

    async def GetAttributeHistory(self, request: Any, context: Any) -> query_pb.GetAttributeHistoryResponse:  # noqa: N802
        observation = query_pb.Observation()
        observation.value.string_value = "on"
        return query_pb.GetAttributeHistoryResponse(observations=[observation], freshness=self.certificate)

    async def AggregateAttribute(self, request: Any, context: Any) -> query_pb.AggregateAttributeResponse:  # noqa: N802
        self.searches.append(request)
        return query_pb.AggregateAttributeResponse(freshness=self.certificate)

    async def DescribeAttributes(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotBuilt("DescribeAttributes")

    async def WaitForPosition(self, request: Any, context: Any) -> query_pb.WaitForPositionResponse:  # noqa: N802
        self.waited.append(request)
        if self.wait_failures:
            raise self.wait_failures.popleft()
        return query_pb.WaitForPositionResponse(freshness=self.certificate)


class SmallLag(lag_grpc.LagServiceServicer):
    """Echoes nonces; with `flood`, each in more answers than any buffer holds. `filled` grows by those that left."""

    def __init__(self) -> None:
        self.flood = False
        self.filled = 0

    async def GetLag(self, request: lag_pb.GetLagRequest, context: Any) -> lag_pb.GetLagResponse:  # noqa: N802
        return lag_pb.GetLagResponse()

    async def WatchLag(  # noqa: N802
        self, request_iterator: AsyncIterator[lag_pb.WatchLagRequest], context: Any
    ) -> AsyncIterator[lag_pb.WatchLagResponse]:
        async for question in request_iterator:
            yield lag_pb.WatchLagResponse(nonce=question.nonce)
            while self.flood:
                yield lag_pb.WatchLagResponse(reading=lag_pb.LagReading(monitor_id="x" * 1_000_000))
                self.filled += 1


class SmallServices:
    """One of each, to be served by one server."""

    def __init__(self) -> None:
        self.ingest, self.tenants, self.query, self.lag = SmallIngest(), SmallTenants(), SmallQuery(), SmallLag()

    def listed(self) -> list[Service]:
        """Return them as a server takes them."""
        ingest = ingest_pb.DESCRIPTOR.services_by_name
        query = query_pb.DESCRIPTOR.services_by_name["QueryService"]
        lag = lag_pb.DESCRIPTOR.services_by_name["LagService"]
        return [
            Service.of(ingest["IngestService"], ingest_grpc.add_IngestServiceServicer_to_server, self.ingest),
            Service.of(ingest["TenantService"], ingest_grpc.add_TenantServiceServicer_to_server, self.tenants),
            Service.of(query, query_grpc.add_QueryServiceServicer_to_server, self.query),
            Service.of(lag, lag_grpc.add_LagServiceServicer_to_server, self.lag),
        ]

    @asynccontextmanager
    async def served(
        self,
        tracer: Tracer | None = None,
        meter: Meter = NO_METER,
        drain: timedelta = timedelta(seconds=5),
        draining: asyncio.Event | None = None,
    ) -> AsyncIterator[str]:
        """Yield the address they are served on."""
        async with serving(
            self.listed(), "127.0.0.1:0", drain=drain, tracer=tracer, meter=meter, draining=draining
        ) as port:
            yield f"127.0.0.1:{port}"
