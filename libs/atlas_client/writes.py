"""Writing: batches, streams of batches, deletes and tenants."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas.ingest.v1 import ingest_service_pb2_grpc as grpc_pb
from grpc import aio

from atlas_client.answers import AckLevel, BatchOutcome, Identity, Tenant, Written, tenant_of, written_of
from atlas_client.budget import RetryBudget
from atlas_client.calls import Deadline, call
from atlas_client.columns import Entity, Write
from atlas_client.identity import Identified, Metadata
from atlas_client.session import Session
from atlas_client.streams import BatchStream
from atlas_client.values import timestamp, to_message

TIMEOUT = timedelta(seconds=10)
STREAM_TIMEOUT = timedelta(hours=1)

# A batch of a stream, alone or with its request id.
Batch = pb.ColumnBatch | tuple[str, pb.ColumnBatch]


@dataclass(frozen=True, slots=True)
class Delete:
    """Hides an entity, or one attribute of it, or one observation of that attribute."""

    entity: Entity
    attribute: str = ""
    event_time: datetime | int | None = None


class Writes:
    """The calls of IngestService and TenantService.

    Each makes a request id, if given none, and keeps it over its retries, so that a batch is stored once. `timeout` is
    for all attempts together. All raise CallFailed. Cancelled, a write may have been committed: repeat it with the same
    `request_id`.
    """

    def __init__(self, channel: aio.Channel, identity: Metadata = ()) -> None:
        self._write_budget = RetryBudget()
        self._ingest = Identified(grpc_pb.IngestServiceStub(channel), identity)
        self._tenants = Identified(grpc_pb.TenantServiceStub(channel), identity)

    async def write_rows(
        self,
        tenant_id: int,
        rows: Iterable[Write],
        *,
        ack_level: AckLevel = AckLevel.COMMITTED,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> Written:
        """Commit 1 to 50000 rows and return what became of each; the simple form."""
        request = _request(tenant_id, request_id, ack_level)
        request.rows.writes.extend(map(_row, rows))
        return await self._write(request, session, timeout)

    async def write_columns(
        self,
        tenant_id: int,
        batch: pb.ColumnBatch,
        *,
        ack_level: AckLevel = AckLevel.COMMITTED,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> Written:
        """Commit a batch that a ColumnBuilder made and return what became of each item; the fast form."""
        request = _request(tenant_id, request_id, ack_level)
        request.columns.CopyFrom(batch)
        return await self._write(request, session, timeout)

    async def stream_writes(
        self,
        tenant_id: int,
        batches: AsyncIterable[Batch] | Iterable[Batch],
        *,
        ack_level: AckLevel = AckLevel.COMMITTED,
        session: Session | None = None,
        timeout: timedelta = STREAM_TIMEOUT,
    ) -> AsyncGenerator[BatchOutcome, None]:
        """Yield what became of each batch, in order, with up to 8 in flight; the way to load much.

        A batch may come with a request id of its own. One refused whole does not end the stream; one that was too much
        at the time is sent again by itself, and so is committed after those behind it. After a lost connection the
        unanswered ones are sent again, in order. Use it inside of `contextlib.aclosing` when you may leave early.
        """

        async def requests() -> AsyncGenerator[pb.WriteAttributesRequest, None]:
            async for item in _each(batches):
                request_id, batch = item if isinstance(item, tuple) else (None, item)
                request = _request(tenant_id, request_id, ack_level)
                request.columns.CopyFrom(batch)
                yield request

        stream = BatchStream(
            self._ingest.StreamWriteAttributes, self._ingest.WriteAttributes, Deadline(timeout), self._write_budget
        )
        async with aclosing(requests()) as writes, aclosing(stream.outcomes(writes)) as outcomes:
            async for outcome in outcomes:
                if session is not None and outcome.written is not None:
                    session.saw(outcome.written.token)
                yield outcome

    async def delete(
        self,
        tenant_id: int,
        deletes: Iterable[Delete],
        *,
        ack_level: AckLevel = AckLevel.COMMITTED,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> Written:
        """Hide what was delivered before, 1 to 10000 deletes, and return what became of each."""
        request = pb.DeleteAttributesRequest(
            tenant_id=tenant_id,
            request_id=request_id or str(uuid.uuid4()),
            deletes=map(_delete, deletes),
            ack_level=_ack(ack_level),
        )
        answer = await call(self._ingest.DeleteAttributes, request, Deadline(timeout), self._write_budget)
        return _noted(written_of(request.request_id, answer), session)

    async def create_tenant(
        self,
        name: str,
        identity: Identity = Identity.KEYED,
        *,
        shard_spread: int = 0,
        attribute_key_quota: int = 0,
        timeout: timedelta = TIMEOUT,
    ) -> Tenant:
        """Return the tenant of this name, registered now or before with the same properties; 0 takes the default."""
        request = pb.CreateTenantRequest(
            name=name,
            entity_identity=pb.EntityIdentity.Value(f"ENTITY_IDENTITY_{identity.name}"),
            shard_spread=shard_spread,
            attribute_key_quota=attribute_key_quota,
        )
        return tenant_of(
            (await call(self._tenants.CreateTenant, request, Deadline(timeout), self._write_budget)).tenant
        )

    async def list_tenants(self, *, timeout: timedelta = TIMEOUT) -> list[Tenant]:
        """Return every tenant, by id."""
        deadline, tenants, page_token = Deadline(timeout), list[Tenant](), ""
        while True:
            request = pb.ListTenantsRequest(page_size=1000, page_token=page_token)
            page = await call(self._tenants.ListTenants, request, deadline, self._write_budget)
            tenants.extend(map(tenant_of, page.tenants))
            page_token = page.next_page_token
            if not page_token:
                return tenants

    async def _write(self, request: pb.WriteAttributesRequest, session: Session | None, timeout: timedelta) -> Written:
        answer = await call(self._ingest.WriteAttributes, request, Deadline(timeout), self._write_budget)
        return _noted(written_of(request.request_id, answer), session)


def _request(tenant_id: int, request_id: str | None, ack_level: AckLevel) -> pb.WriteAttributesRequest:
    return pb.WriteAttributesRequest(
        tenant_id=tenant_id, request_id=request_id or str(uuid.uuid4()), ack_level=_ack(ack_level)
    )


def _noted(written: Written, session: Session | None) -> Written:
    if session is not None:
        session.saw(written.token)
    return written


def _ack(level: AckLevel) -> pb.AckLevel.ValueType:
    return pb.AckLevel.Value(f"ACK_LEVEL_{level.name}")


def _row(row: Write) -> pb.AttributeWrite:
    message = pb.AttributeWrite(
        attribute_key=row.attribute,
        value=to_message(row.value, row.value_type),
        event_time=timestamp(row.event_time),
        source_type=row.source_type,
        asset_type=row.asset_type,
    )
    if isinstance(row.entity, str):
        message.entity_key = row.entity
    else:
        message.entity_id = row.entity
    return message


def _delete(delete: Delete) -> pb.AttributeDelete:
    message = pb.AttributeDelete(attribute_key=delete.attribute, event_time=timestamp(delete.event_time))
    if isinstance(delete.entity, str):
        message.entity_key = delete.entity
    else:
        message.entity_id = delete.entity
    return message


async def _each(
    batches: AsyncIterable[Batch] | Iterable[Batch],
) -> AsyncIterator[Batch]:
    if isinstance(batches, AsyncIterable):
        async for batch in batches:
            yield batch
    else:
        for batch in batches:
            yield batch
