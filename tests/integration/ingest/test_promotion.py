"""A replica is promoted: what the old primary acknowledged is not stored a second time on the new one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1 import ingest_service_pb2_grpc as pb2_grpc
from atlas_ingest.app import running
from atlas_ingest.settings import Settings
from atlas_local.ports import HOST
from atlas_local.postgres import PostgresCluster, PostgresServer, PostgresTuning
from atlas_local.scratch import register_first_epoch, scratch_cluster
from atlaskit.position import Token
from atlaskit.postgres.dedicated import open_session
from atlaskit.postgres.epochs import register_epoch
from atlaskit.postgres.pool import STATEMENT_LIMIT
from atlaskit.postgres.probes import look_at_primary
from atlaskit.rpc.errors import errors_from
from doubles.writes import one, rows
from grpc import aio

Eventually = Callable[..., Awaitable[None]]


@asynccontextmanager
async def ingest_over(cluster: PostgresCluster) -> AsyncIterator[Any]:
    """Ingest that is told of both servers and writes to whichever is the primary."""
    both = f"{HOST}:{cluster.primary.port},{HOST}:{cluster.replica.port}"
    dsn = cluster.primary.dsn("atlas_ingest").replace(f"{HOST}:{cluster.primary.port}", both)
    settings = Settings(postgres_dsn=f"{dsn}?target_session_attrs=primary")
    async with running(settings) as port, aio.insecure_channel(f"{HOST}:{port}") as channel:
        yield channel


async def stored(server: PostgresServer, sql: str, *values: object) -> Any:
    async with open_session(server.dsn(), "test") as session:
        return await session.value(sql, *values)


async def promoted(cluster: PostgresCluster, eventually: Eventually) -> None:
    """Let the replica have all, kill the primary, promote the replica, and register its epoch as a lag monitor does."""
    written = await stored(cluster.primary, "SELECT pg_current_wal_flush_lsn()::text")

    async def caught_up() -> None:
        assert await stored(cluster.replica, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written)

    await eventually(caught_up)
    cluster.primary.kill()
    async with open_session(cluster.replica.dsn(), "test") as session:
        assert await session.value("SELECT pg_promote()")
        look = await look_at_primary(session, STATEMENT_LIMIT)
        assert look.identity is not None
        assert look.identity.timeline == 2
        await register_epoch(session, 2, look.identity, STATEMENT_LIMIT)


def requests_of(tenant: int) -> list[pb2.WriteAttributesRequest]:
    small = rows(tenant, [one(f"e{n}", "a", n) for n in range(5)])
    again = rows(tenant, [one(f"e{n}", "a", n, 1) for n in range(5)])  # of known entities: in one round trip
    large = rows(tenant, [one(f"e{n % 5}", "a", n, 10 + n) for n in range(300)])
    partly = rows(tenant, [one("e1", "a", 7, 900), one("", "a", 1), one("e1", "a", 8, 900)])
    return [small, again, large, partly]


async def test_a_repeat_after_a_promotion_gets_the_first_answer_and_stores_nothing_twice(
    eventually: Eventually,
) -> None:
    tuning = PostgresTuning(shared_buffers="64MB", max_wal_size="1GB")
    async with scratch_cluster(tuning, replica=True) as cluster:
        await register_first_epoch(cluster.primary.dsn())
        async with ingest_over(cluster) as channel:
            writes, tenants = pb2_grpc.IngestServiceStub(channel), pb2_grpc.TenantServiceStub(channel)
            asked = pb2.CreateTenantRequest(name="t", entity_identity=pb2.ENTITY_IDENTITY_KEYED)
            tenant = (await tenants.CreateTenant(asked, timeout=10)).tenant.tenant_id
            requests = requests_of(tenant)
            first = [await writes.WriteAttributes(request, timeout=10) for request in requests]
            deleted = pb2.DeleteAttributesRequest(
                tenant_id=tenant,
                request_id=str(uuid.uuid4()),
                deletes=[pb2.AttributeDelete(entity_key="e4"), pb2.AttributeDelete(entity_key="nobody")],
            )
            gone = await writes.DeleteAttributes(deleted, timeout=10)
            count = "SELECT count(*) FROM entity_attributes"
            before = await stored(cluster.primary, count)
            await promoted(cluster, eventually)

            # Each waits for the new primary as long as its deadline lets it.
            repeats = await asyncio.gather(
                *(writes.WriteAttributes(request, timeout=60) for request in requests),
            )
            gone_again = await writes.DeleteAttributes(deleted, timeout=60)
            for answer, repeat in [*zip(first, repeats, strict=True), (gone, gone_again)]:
                assert (answer.repeated, repeat.repeated) == (False, True)
                assert (repeat.item_states, repeat.refusals) == (answer.item_states, answer.refusals)
                assert (repeat.stored_count, repeat.commit_time) == (answer.stored_count, answer.commit_time)
                assert (Token.parse(answer.write_token, "").epoch, Token.parse(repeat.write_token, "").epoch) == (1, 2)
            assert await stored(cluster.replica, count) == before

            other = rows(tenant, [one("e0", "a", 99, 77)])
            other.request_id = requests[1].request_id
            with pytest.raises(aio.AioRpcError) as refused:
                await writes.WriteAttributes(other, timeout=60)
            assert errors_from(refused.value).remote_reason == "REQUEST_ID_REUSED"
            assert await stored(cluster.replica, count) == before

            # The new epoch begins without what was known in the old one, and its versions are above all others.
            fresh = await writes.WriteAttributes(rows(tenant, [one("e4", "a", 5, 950)]), timeout=60)
            assert fresh.stored_count == 1
            assert await stored(cluster.replica, "SELECT max(row_version) >> 55 FROM entity_attributes") == 2
            assert not await stored(cluster.replica, "SELECT deleted FROM entities WHERE entity_key = 'e4'")
