"""The service of writes: messages in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from hashlib import blake2b
from typing import Any

from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.batch import ItemState, WriteBatch, Written
from atlaskit.clock import Clock, SystemClock
from atlaskit.errors import AtlasError, InvalidRequest, NotBuilt
from atlaskit.model import EntityIdentity
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.errors import batch_error_of
from atlaskit.telemetry.carrier import current_trace_id, current_traceparent
from grpc import aio

from atlas_ingest import validation
from atlas_ingest.admission import Admission
from atlas_ingest.batcher import GroupCommit
from atlas_ingest.decoding import draft_of_columns, draft_of_rows
from atlas_ingest.draft import Draft
from atlas_ingest.wire import Undecodable

Context = aio.ServicerContext[Any, Any]
STREAM_IN_FLIGHT = 8


class IngestServicer:
    """Commits batches of writes."""

    def __init__(self, tenants: Tenants, commit: GroupCommit, admission: Admission, clock: Clock | None = None) -> None:
        self._tenants = tenants
        self._commit = commit
        self._admission = admission
        self._clock = clock or SystemClock()

    async def write(self, request: pb2.WriteAttributesRequest, context: Context) -> pb2.WriteAttributesResponse:
        """Commit one batch and return what became of it."""
        deadline = Deadline.of(context)
        with ExitStack() as held:
            batch = await self._batch(request, deadline, held)
            return response_of(await self._commit.write(batch, deadline.require("the batch was queued")))

    async def stream(
        self, requests: AsyncIterator[pb2.StreamWriteAttributesRequest | Undecodable], context: Context
    ) -> None:
        """Commit each batch of a stream and answer in order; up to 8 are in flight, then the stream is not read."""
        deadline = Deadline.of(context)
        answers: asyncio.Queue[asyncio.Task[pb2.StreamWriteAttributesResponse] | None] = asyncio.Queue(STREAM_IN_FLIGHT)
        free = asyncio.Semaphore(STREAM_IN_FLIGHT)

        async with asyncio.TaskGroup() as group:
            group.create_task(_send(answers, free, context), name="stream-answers")
            await free.acquire()
            async for request in requests:
                # Checked here, one after another, and queued in the same order: the later batch wins.
                with ExitStack() as checking:
                    checked = await self._checked(request, deadline, checking)
                    held = checking.pop_all()
                task = group.create_task(self._answer(_request_id(request), checked, deadline), name="stream-batch")
                # Also of a task that is cancelled before it began.
                task.add_done_callback(_closing(held))
                await answers.put(task)
                await free.acquire()
            await answers.put(None)

    async def delete(self, request: pb2.DeleteAttributesRequest, context: Context) -> pb2.DeleteAttributesResponse:
        """Refuse: deletes are not built yet."""
        raise NotBuilt("DeleteAttributes is not built yet; write a new value, which stands in for the old one")

    async def _checked(
        self, request: pb2.StreamWriteAttributesRequest | Undecodable, deadline: Deadline, held: ExitStack
    ) -> WriteBatch | AtlasError:
        if isinstance(request, Undecodable):
            return InvalidRequest("", "the message is no StreamWriteAttributesRequest", "MESSAGE_MALFORMED")
        try:
            return await self._batch(request.write, deadline, held)
        except AtlasError as error:
            return error

    async def _answer(
        self, request_id: str, checked: WriteBatch | AtlasError, deadline: Deadline
    ) -> pb2.StreamWriteAttributesResponse:
        try:
            if isinstance(checked, AtlasError):
                raise checked
            written = response_of(await self._commit.write(checked, deadline.require("the batch was queued")))
        except AtlasError as error:
            return pb2.StreamWriteAttributesResponse(request_id=request_id, error=batch_error_of(error))
        return pb2.StreamWriteAttributesResponse(request_id=request_id, written=written)

    async def _batch(self, request: pb2.WriteAttributesRequest, deadline: Deadline, held: ExitStack) -> WriteBatch:
        # What it takes of the process is held until `held` is closed, once it is answered.
        validation.check_ack_level(request.ack_level, pb2.AckLevel.values())
        validation.check_tenant_id(request.tenant_id)
        request_id = validation.check_request_id(request.request_id)
        form = request.WhichOneof("batch")
        if form is None:
            raise InvalidRequest("batch", "is not set; send rows or columns", "BATCH_MISSING")
        encoded = request.ByteSize()
        count = len(request.rows.writes) if form == "rows" else len(request.columns.value_types)
        validation.check_count("rows.writes" if form == "rows" else "columns", count, encoded)
        held.enter_context(self._admission.admitted(request.tenant_id, count, encoded))
        tenant = await self._tenants.get(request.tenant_id, deadline.require("the tenant was found"))
        digest = digest_of(request)
        said = validation.Request(tenant, request_id, digest, encoded, _sampled_traceparent())
        return validation.checked(_draft(request, form, tenant.identity), said, self._clock.wall())


def _closing(held: ExitStack) -> Callable[[object], None]:
    return lambda _: held.close()


def _request_id(request: pb2.StreamWriteAttributesRequest | Undecodable) -> str:
    # A mark for bad UTF-8 is no id to give back.
    if isinstance(request, Undecodable) or "\0" in request.write.request_id:
        return ""
    return request.write.request_id


def _draft(request: pb2.WriteAttributesRequest, form: str, identity: EntityIdentity) -> Draft:
    if form == "rows":
        return draft_of_rows(request.rows, identity)
    return draft_of_columns(request.columns, identity)


def _sampled_traceparent() -> str:
    return current_traceparent() if current_trace_id() else ""


def digest_of(request: pb2.WriteAttributesRequest) -> bytes:
    """Return the digest of what a repeat must have in common with the first call: tenant and items, in their form."""
    content = pb2.WriteAttributesRequest()
    content.CopyFrom(request)
    content.ClearField("ack_level")
    content.ClearField("request_id")
    return blake2b(content.SerializeToString(deterministic=True), digest_size=32).digest()


def response_of(written: Written) -> pb2.WriteAttributesResponse:
    """Return the answer as a message, with the id of the trace of this call."""
    answer = written.answer
    stored = answer.count(ItemState.STORED)
    response = pb2.WriteAttributesResponse(
        item_states=answer.states,  # type: ignore[arg-type]  # the same numbers
        refusals=[
            pb2.ItemRefusal(item_index=r.index, reason=r.reason, field=r.field, message=r.message)
            for r in answer.refusals
        ],
        stored_count=stored,
        superseded_count=answer.count(ItemState.SUPERSEDED),
        refused_count=answer.count(ItemState.REFUSED),
        write_token=str(written.token) if written.token else "",
        reached_ack_level=pb2.ACK_LEVEL_COMMITTED if stored else pb2.ACK_LEVEL_UNSPECIFIED,
        repeated=written.repeated,
        trace_id=current_trace_id(),
    )
    response.commit_time.FromDatetime(answer.commit_time)
    return response


async def _send(
    answers: asyncio.Queue[asyncio.Task[pb2.StreamWriteAttributesResponse] | None],
    free: asyncio.Semaphore,
    context: Context,
) -> None:
    while (task := await answers.get()) is not None:
        await context.write(await task)
        free.release()
