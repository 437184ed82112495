"""A small platform that keeps what it is sent in memory: the contract's rules of identity, order and request ids."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from atlas.freshness.v1 import freshness_pb2 as fresh_pb
from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas.ingest.v1.ingest_service_pb2_grpc import (
    IngestServiceServicer,
    TenantServiceServicer,
    add_IngestServiceServicer_to_server,
    add_TenantServiceServicer_to_server,
)
from atlas.lag.v1 import lag_service_pb2 as lag_pb
from atlas.lag.v1.lag_service_pb2_grpc import LagServiceServicer, add_LagServiceServicer_to_server
from atlas.query.v1 import query_service_pb2 as query_pb
from atlas.query.v1.query_service_pb2_grpc import QueryServiceServicer, add_QueryServiceServicer_to_server
from atlas_client import Scalar, rows_of
from atlas_client.values import to_message
from atlaskit.errors import NotFound, RequestIdReused, TenantUnknown, Unavailable
from atlaskit.rpc.server import Service, serving

Identity = tuple[str, str, str, int]


@dataclass
class Memory:
    """What is stored, and what a test may ask for: `fail_after` batches every call fails; `refuse` names a reason."""

    tenants: dict[str, pb.Tenant] = field(default_factory=dict)
    values: dict[Identity, tuple[Scalar, str]] = field(default_factory=dict)
    answers: dict[str, tuple[bytes, pb.WriteAttributesResponse]] = field(default_factory=dict)
    predicates: list[query_pb.Predicate] = field(default_factory=list)
    as_of_tokens: list[str] = field(default_factory=list)
    stored_batches: int = 0
    repeats: int = 0
    fail_after: int | None = None
    stumble_every: int | None = None
    refuse: str = ""
    calls: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    created_us: int = 1_700_000_000_000_000

    def tenant(self, tenant_id: int) -> pb.Tenant:
        for tenant in self.tenants.values():
            if tenant.tenant_id == tenant_id:
                return tenant
        raise TenantUnknown(tenant_id)


class Ingest(IngestServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def WriteAttributes(self, request: pb.WriteAttributesRequest, context: object) -> pb.WriteAttributesResponse:  # noqa: N802
        memory = self._memory
        memory.calls += 1
        memory.in_flight += 1
        memory.most_in_flight = max(memory.in_flight, memory.most_in_flight)
        try:
            await asyncio.sleep(0)  # others may come in between
            if memory.fail_after is not None and memory.stored_batches >= memory.fail_after:
                raise Unavailable("the store is away")
            answer = self._answer(request)
            if memory.stumble_every and memory.calls % memory.stumble_every == 0:
                raise Unavailable("stored, and the answer was lost")
            return answer
        finally:
            memory.in_flight -= 1

    def _answer(self, request: pb.WriteAttributesRequest) -> pb.WriteAttributesResponse:
        memory = self._memory
        content = request.columns.SerializeToString(deterministic=True)
        if request.request_id in memory.answers:
            before, answer = memory.answers[request.request_id]
            if before != content:
                raise RequestIdReused(request.request_id)
            memory.repeats += 1
            repeat = pb.WriteAttributesResponse()
            repeat.CopyFrom(answer)
            repeat.repeated = True
            return repeat
        answer = self._stored(memory.tenant(request.tenant_id).name, request.columns)
        memory.answers[request.request_id] = content, answer
        memory.stored_batches += 1
        return answer

    def _stored(self, tenant: str, columns: pb.ColumnBatch) -> pb.WriteAttributesResponse:
        answer, batch = pb.WriteAttributesResponse(write_token="a1.1.ff"), {}
        for index, row in enumerate(rows_of(columns)):
            if self._memory.refuse and index == 0:
                answer.refusals.add(item_index=0, reason=self._memory.refuse, message="not this one")
                continue
            assert isinstance(row.entity, str)
            assert isinstance(row.event_time, int)
            batch[tenant, row.entity, row.attribute, row.event_time] = row.value, row.source_type
        self._memory.values |= batch
        answer.stored_count, answer.refused_count = len(batch), len(answer.refusals)
        answer.superseded_count = len(columns.value_types) - len(batch) - len(answer.refusals)
        return answer


class Tenants(TenantServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def CreateTenant(self, request: pb.CreateTenantRequest, context: object) -> pb.CreateTenantResponse:  # noqa: N802
        tenants = self._memory.tenants
        tenant = pb.Tenant(
            tenant_id=len(tenants) + 1,
            name=request.name,
            entity_identity=request.entity_identity,
            shard_spread=10,
            attribute_key_quota=request.attribute_key_quota,
        )
        tenant.create_time.FromMicroseconds(self._memory.created_us)
        return pb.CreateTenantResponse(tenant=tenants.setdefault(request.name, tenant))

    async def ListTenants(self, request: pb.ListTenantsRequest, context: object) -> pb.ListTenantsResponse:  # noqa: N802
        return pb.ListTenantsResponse(tenants=self._memory.tenants.values())


class Query(QueryServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def GetEntity(self, request: query_pb.GetEntityRequest, context: object) -> query_pb.GetEntityResponse:  # noqa: N802
        self._memory.as_of_tokens.append(request.as_of_token)
        name = self._memory.tenant(request.tenant_id).name
        answer = query_pb.GetEntityResponse(entity=query_pb.Entity(tenant_id=1, entity_key=request.entity_key))
        for (tenant, entity, key, time), (value, source) in self._memory.values.items():
            if (tenant, entity) == (name, request.entity_key):
                current = answer.entity.values.add(attribute_key=key, value=to_message(value), source_type=source)
                current.event_time.FromMicroseconds(time)
        if not answer.entity.values:
            raise NotFound(f"{name} has no entity {request.entity_key}")
        answer.freshness.source = fresh_pb.DATA_SOURCE_REPLICA
        answer.freshness.staleness.FromMicroseconds(12_400)
        return answer

    async def ListEntities(  # noqa: N802
        self, request: query_pb.ListEntitiesRequest, context: object
    ) -> query_pb.ListEntitiesResponse:
        self._memory.predicates.append(request.predicate)
        answer = query_pb.ListEntitiesResponse(next_page_token="more")
        name = self._memory.tenant(request.tenant_id).name
        for entity in sorted({entity for tenant, entity, *_ in self._memory.values if tenant == name}):
            answer.entities.add(tenant_id=request.tenant_id, entity_key=entity, asset_type="router")
        answer.freshness.source = fresh_pb.DATA_SOURCE_REPLICA
        return answer


class Lag(LagServiceServicer):
    async def GetLag(self, request: lag_pb.GetLagRequest, context: object) -> lag_pb.GetLagResponse:  # noqa: N802
        answer = lag_pb.GetLagResponse()
        answer.reading.source.CopyFrom(lag_pb.SourceIdentity(system_identifier="1", timeline=1, epoch=3))
        answer.reading.fences.add(wal_position_bytes=255).age.FromMicroseconds(25_000)
        replica = answer.reading.copies.add(copy=lag_pb.COPY_REPLICA, reachable=True, lag_bytes=4096)
        replica.lag.FromMicroseconds(3_500)
        answer.reading.copies.add(copy=lag_pb.COPY_OLAP, problem="refused")
        return answer


@asynccontextmanager
async def platform(memory: Memory) -> AsyncIterator[str]:
    """Yield the address where all four services are."""
    services = pb.DESCRIPTOR.services_by_name
    parts = [
        Service.of(services["IngestService"], add_IngestServiceServicer_to_server, Ingest(memory)),  # type: ignore[abstract]
        Service.of(services["TenantService"], add_TenantServiceServicer_to_server, Tenants(memory)),
        Service.of(
            query_pb.DESCRIPTOR.services_by_name["QueryService"],
            add_QueryServiceServicer_to_server,
            Query(memory),  # type: ignore[abstract]
        ),
        Service.of(lag_pb.DESCRIPTOR.services_by_name["LagService"], add_LagServiceServicer_to_server, Lag()),  # type: ignore[abstract]
    ]
    async with serving(parts, "127.0.0.1:0", drain=timedelta(seconds=1)) as port:
        yield f"127.0.0.1:{port}"
