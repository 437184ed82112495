"""The baseline of single values: the same contract, one INSERT and one commit a call, nothing that makes it safe."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC
from typing import Any, Never

import asyncpg
from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas.ingest.v1 import ingest_service_pb2_grpc as pb_grpc
from atlas_ingest.tenants import TenantServicer
from atlaskit.model import entity_id_of, shard_of
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.tenants import Tenants
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

CONNECTIONS = 16
_COLUMNS = {
    "int64_value": (1, "value_int"),
    "uint64_value": (2, "value_uint"),
    "double_value": (3, "value_double"),
    "bool_value": (4, "value_bool"),
    "string_value": (5, "value_text"),
    "bytes_value": (6, "value_bytes"),
}
INSERT = """
    INSERT INTO entity_attributes
        (tenant_id, entity_id, attribute_id, shard, value_type, event_time, row_version, {column})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


class Naive(pb_grpc.IngestServiceServicer):
    """Inserts the one value of each call."""

    def __init__(self, pool: asyncpg.Pool[Any], tenants: Tenants) -> None:
        self._pool = pool
        self._tenants = tenants
        self._attributes: dict[tuple[int, str], int] = {}
        self._version = 1 << 56

    async def WriteAttributes(self, request: pb.WriteAttributesRequest, context: Any) -> pb.WriteAttributesResponse:  # noqa: N802
        """Insert, commit, answer."""
        tenant = await self._tenants.get(request.tenant_id)
        [write] = request.rows.writes
        kind = write.value.WhichOneof("kind")
        assert kind is not None
        number, column = _COLUMNS[kind]
        entity = entity_id_of(tenant.entity_hash_key, write.entity_key)
        attribute = await self._attribute(tenant.tenant_id, write.attribute_key)
        self._version += 1
        async with self._pool.acquire() as connection:
            await connection.execute(
                INSERT.format(column=column),
                tenant.tenant_id,
                entity,
                attribute,
                shard_of(tenant.tenant_id, tenant.spread, entity),
                number,
                write.event_time.ToDatetime(tzinfo=UTC),
                self._version,
                getattr(write.value, kind),
            )
        return pb.WriteAttributesResponse(stored_count=1, reached_ack_level=pb.ACK_LEVEL_COMMITTED)

    async def _attribute(self, tenant: int, key: str) -> int:
        if (tenant, key) not in self._attributes:
            self._version += 1
            await self._pool.execute(
                "INSERT INTO attribute_keys (tenant_id, attribute_key, row_version) VALUES ($1, $2, $3)"
                " ON CONFLICT (tenant_id, attribute_key) DO NOTHING",
                tenant,
                key,
                self._version,
            )
            self._attributes[tenant, key] = await self._pool.fetchval(
                "SELECT attribute_id FROM attribute_keys WHERE tenant_id = $1 AND attribute_key = $2", tenant, key
            )
        return self._attributes[tenant, key]

    def StreamWriteAttributes(self, request_iterator: Any, context: Any) -> Never:  # noqa: N802
        """Not of the baseline."""
        raise NotImplementedError

    async def DeleteAttributes(self, request: pb.DeleteAttributesRequest, context: Any) -> Never:  # noqa: N802
        """Not of the baseline."""
        raise NotImplementedError


class _TenantService(pb_grpc.TenantServiceServicer):
    def __init__(self, tenants: Tenants) -> None:
        self._servicer = TenantServicer(tenants)

    async def CreateTenant(self, request: pb.CreateTenantRequest, context: Any) -> pb.CreateTenantResponse:  # noqa: N802
        return await self._servicer.create(request, context)

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Any) -> Never:  # noqa: N802
        """Not of the baseline."""
        raise NotImplementedError


async def serve(dsn: str, address: str) -> None:
    """Serve until the process ends."""
    async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool, open_pool(dsn) as lookups:
        tenants = Tenants(lookups)
        server = aio.server()
        pb_grpc.add_IngestServiceServicer_to_server(Naive(pool, tenants), server)
        pb_grpc.add_TenantServiceServicer_to_server(_TenantService(tenants), server)
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        server.add_insecure_port(address)
        await server.start()
        await checks.set("", health_pb2.HealthCheckResponse.SERVING)
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(os.environ["ATLAS_POSTGRES_DSN"], os.environ["ATLAS_ADDRESS"]))
