"""Writers and readers of a campaign: each call is made once, and each outcome is in the history."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

from atlas.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from atlas.query.v1 import query_service_pb2_grpc as query_grpc
from atlas_client import CallFailed
from atlas_client.freshness import Freshness
from checker.history import (
    Item,
    ReadAnswered,
    ReadRefused,
    ReadSent,
    WriteAcknowledged,
    WriteSent,
)
from checker.processes import wire
from checker.processes.notebook import Notebook, now
from checker.processes.wire import Asked, Class
from grpc import StatusCode, aio

WRITE_SECONDS = 3.0
READ_SECONDS = 3.0
WAIT = timedelta(seconds=1)
ATTEMPTS = 12  # of one write under its request id; then its outcome stays unknown
PAUSE = 0.25  # seconds between them


class Writer:
    """Sends writes of one tenant, one after another; what fails is repeated under the same request id for a while."""

    def __init__(self, channel: aio.Channel, notes: Notebook, tenant: int, session: str = "") -> None:
        self._stub = ingest_grpc.IngestServiceStub(channel)
        self._notes = notes
        self.tenant = tenant
        self._session = session

    async def write(self, items: tuple[Item, ...]) -> str | None:
        """Write all or delete all of these and return the token, or None: the outcome is not known."""
        op, request_id = self._notes.history.next_op(), str(uuid.uuid4())
        deletes = items[0].value is None
        build = wire.delete_request if deletes else wire.write_request
        call: Any = self._stub.DeleteAttributes if deletes else self._stub.WriteAttributes
        request = build(self.tenant, request_id, items)
        self._notes.history.append(WriteSent(now(), op, self.tenant, items, self._session))
        for _ in range(ATTEMPTS):
            try:
                answer = await call(request, timeout=WRITE_SECONDS)
            except aio.AioRpcError as error:
                if error.code() in {StatusCode.INVALID_ARGUMENT, StatusCode.INTERNAL}:
                    raise  # the campaign, or the service, is at fault
                await asyncio.sleep(PAUSE)
                continue
            assert not answer.refusals, answer.refusals
            created = answer.commit_time.ToMicroseconds() if answer.HasField("commit_time") else None
            event = WriteAcknowledged(now(), op, answer.write_token, created, answer.repeated)
            self._notes.history.append(event)
            self._notes.stored(self.tenant, items, answer.write_token)
            return str(answer.write_token)
        return None


class Reader:
    """Asks one question at a time and notes the answer, the refusal or the failure."""

    def __init__(self, channel: aio.Channel, notes: Notebook) -> None:
        self._stub = query_grpc.QueryServiceStub(channel)
        self._notes = notes
        self.refused = ""  # the reason of the last refusal, empty after an answer

    async def read(
        self, tenant: int, asked: Asked, way: Class, policy: str, token: str = "", session: str = ""
    ) -> ReadAnswered | None:
        """Ask and return the answer, or None."""
        notes = self._notes
        op = notes.history.next_op()
        wanted = way.requirement(policy, token, session=bool(session), wait=WAIT)
        asked.request.freshness.CopyFrom(wanted)
        limit = way.limit // timedelta(microseconds=1) * 1000
        sent = ReadSent(
            now(),
            op,
            tenant,
            asked.shape,
            asked.keys,
            way.name,
            policy,
            limit,
            way.sources,
            token,
            session,
            asked.start,
        )
        notes.history.append(sent)
        try:
            message = await getattr(self._stub, asked.method)(asked.request, timeout=READ_SECONDS)
        except aio.AioRpcError as error:
            return self._failed(sent, CallFailed.of(error))
        seen, rows = wire.seen_of(asked, message)
        return self._answered(sent, wire.answered(now(), op, message.freshness, seen, rows))

    def _failed(self, sent: ReadSent, failure: CallFailed) -> ReadAnswered | None:
        freshness = failure.freshness
        if failure.code is StatusCode.NOT_FOUND and freshness is not None:
            # It says that there is no such entity, and for that it has a certificate like any other answer.
            return self._answered(sent, wire.certified(now(), sent.op, freshness, (), None))
        assert failure.code not in {StatusCode.INVALID_ARGUMENT, StatusCode.UNIMPLEMENTED, StatusCode.INTERNAL}, failure
        known = _about_freshness(failure)
        self.refused = failure.reason
        passed = wire.passed_over(freshness) if freshness is not None else ()
        self._notes.history.append(ReadRefused(now(), sent.op, failure.reason, known, passed))
        return None

    def _answered(self, sent: ReadSent, answer: ReadAnswered) -> ReadAnswered:
        self._notes.history.append(answer)
        self.refused = ""
        if answer.claim is not None:
            self._notes.claims[answer.source] = answer.claim
        if answer.claim is not None and not answer.degraded and answer.claim <= sent.limit:
            self._notes.satisfied[sent.use_case, sent.sources] = sent.at
        return answer


def _about_freshness(failure: CallFailed) -> bool:
    freshness: Freshness | None = failure.freshness
    return freshness is not None and failure.code is StatusCode.FAILED_PRECONDITION
