"""The service of writes: messages in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.batch import WriteBatch
from atlaskit.clock import Clock, SystemClock
from atlaskit.errors import AtlasError, InvalidRequest
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.errors import batch_error_of
from atlaskit.rpc.identity import current_identity
from atlaskit.telemetry.carrier import current_trace_id, current_traceparent
from grpc import aio

from atlas_ingest import validation
from atlas_ingest.acks import AckLevel, Acknowledgements
from atlas_ingest.admission import Admission
from atlas_ingest.answers import Outcome, delete_response_of, write_response_of
from atlas_ingest.batcher import GroupCommit
from atlas_ingest.items import digest_of, items_of
from atlas_ingest.metrics import IngestMetrics
from atlas_ingest.wire import Undecodable

Context = aio.ServicerContext[Any, Any]
STREAM_IN_FLIGHT = 8


class Checked(NamedTuple):
    """A batch that may be committed, and how far it must come before it is answered."""

    batch: WriteBatch
    ack_level: AckLevel


class IngestServicer:
    """Commits batches of writes and of deletes."""

    def __init__(
        self,
        tenants: Tenants,
        commit: GroupCommit,
        admission: Admission,
        acks: Acknowledgements,
        *,
        clock: Clock | None = None,
        metrics: IngestMetrics | None = None,
    ) -> None:
        self._metrics = metrics or IngestMetrics()
        self._tenants = tenants
        self._commit = commit
        self._admission = admission
        self._acks = acks
        self._clock = clock or SystemClock()

    async def write(self, request: pb2.WriteAttributesRequest, context: Context) -> pb2.WriteAttributesResponse:
        """Commit one batch and return what became of it."""
        return write_response_of(await self._unary(request, context))

    async def delete(self, request: pb2.DeleteAttributesRequest, context: Context) -> pb2.DeleteAttributesResponse:
        """Commit one batch of deletes and return what became of each."""
        return delete_response_of(await self._unary(request, context))

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

    async def _unary(
        self, request: pb2.WriteAttributesRequest | pb2.DeleteAttributesRequest, context: Context
    ) -> Outcome:
        deadline = Deadline.of(context)
        try:
            with ExitStack() as held:
                return await self._outcome(await self._batch(request, deadline, held), deadline)
        except AtlasError as error:
            self._metrics.refused(error)
            raise

    async def _checked(
        self, request: pb2.StreamWriteAttributesRequest | Undecodable, deadline: Deadline, held: ExitStack
    ) -> Checked | AtlasError:
        if isinstance(request, Undecodable):
            return InvalidRequest("", "the message is no StreamWriteAttributesRequest", "MESSAGE_MALFORMED")
        try:
            return await self._batch(request.write, deadline, held)
        except AtlasError as error:
            return error

    async def _answer(
        self, request_id: str, checked: Checked | AtlasError, deadline: Deadline
    ) -> pb2.StreamWriteAttributesResponse:
        try:
            if isinstance(checked, AtlasError):
                raise checked
            written = write_response_of(await self._outcome(checked, deadline))
        except AtlasError as error:
            self._metrics.refused(error)
            return pb2.StreamWriteAttributesResponse(request_id=request_id, error=batch_error_of(error))
        return pb2.StreamWriteAttributesResponse(request_id=request_id, written=written)

    async def _outcome(self, checked: Checked, deadline: Deadline) -> Outcome:
        batch = checked.batch
        written = await self._commit.write(batch, deadline.require("the batch was queued"))
        self._metrics.answered(written)
        level = await self._acks.reached(batch.tenant.tenant_id, written.token, checked.ack_level, deadline)
        return Outcome(written, level, current_trace_id())

    async def _batch(
        self, request: pb2.WriteAttributesRequest | pb2.DeleteAttributesRequest, deadline: Deadline, held: ExitStack
    ) -> Checked:
        # What it takes of the process is held until `held` is closed, once it is answered.
        level = validation.check_ack_level(request.ack_level)
        validation.check_tenant_id(request.tenant_id)
        current_identity().permit((request.tenant_id,))
        request_id = validation.check_request_id(request.request_id)
        items = items_of(request)
        encoded = request.ByteSize()
        validation.check_count(items.field, items.length, encoded, items.most)
        held.enter_context(self._acks.place(level))
        held.enter_context(self._admission.admitted(request.tenant_id, items.length, encoded))
        tenant = await self._tenants.get(request.tenant_id, deadline.require("the tenant was found"))
        said = validation.Request(tenant, request_id, digest_of(request), encoded, _sampled_traceparent())
        return Checked(validation.checked(items.draft(tenant.identity), said, self._clock.wall()), level)


def _closing(held: ExitStack) -> Callable[[object], None]:
    return lambda _: held.close()


def _request_id(request: pb2.StreamWriteAttributesRequest | Undecodable) -> str:
    # A mark for bad UTF-8 is no id to give back.
    if isinstance(request, Undecodable) or "\0" in request.write.request_id:
        return ""
    return request.write.request_id


def _sampled_traceparent() -> str:
    return current_traceparent() if current_trace_id() else ""


async def _send(
    answers: asyncio.Queue[asyncio.Task[pb2.StreamWriteAttributesResponse] | None],
    free: asyncio.Semaphore,
    context: Context,
) -> None:
    while (task := await answers.get()) is not None:
        await context.write(await task)
        free.release()
