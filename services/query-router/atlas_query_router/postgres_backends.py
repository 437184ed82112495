"""The primary and the replica as sources."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

from atlaskit.clock import Clock
from atlaskit.freshness.proofs import Proof, ReplicaRead, prove_primary, prove_replica
from atlaskit.model import Source, Tenant
from atlaskit.position import Token
from atlaskit.postgres.pool import Pool
from atlaskit.postgres.probes import look_at_replica
from atlaskit.postgres.reader import Reader, reading
from atlaskit.selection.searches import EntitySearch, GroupSearch

from atlas_query_router.backends import Call, Reply, entity_number
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.position_watch import Reached
from atlas_query_router.questions import (
    EntityQuestion,
    FiguresQuestion,
    HistoryQuestion,
    ListQuestion,
    PositionQuestion,
    Question,
    Rows,
    Simple,
)


class PrimaryBackend:
    """Reads of the primary: which server it is, then the data, on one connection."""

    source = Source.PRIMARY

    def __init__(self, pool: Pool, board: LagBoard, clock: Clock) -> None:
        self._pool = pool
        self._board = board
        self._clock = clock

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        limit = call.deadline.require("reading the primary")
        async with reading(self._pool, call.tenant_ids, limit, planned_anew=by_values(question)) as reader:
            probe = await reader.probe_primary(self._clock)
            if probe.in_recovery:
                await self._pool.renew()  # the name led to a standby when this was opened
            known = self._board.known()
            proof = None if known is None else prove_primary(known, probe, call.received)
            if not worth(proof):
                return Reply(proof, answered=False)
            rows = await answer(reader, call.tenant, question)
            token = None
            if call.want_session_token and proof is not None:
                token = Token(proof.epoch, await reader.flushed())
            return Reply(proof, True, rows, token, reader.slotted)

    async def look(self, limit: timedelta) -> Reached:
        """Return the newest fence: what it covers was flushed. The primary itself is not asked."""
        known = self._board.known()
        fence = None if known is None or known.epoch is None else next(iter(known.fences), None)
        if known is None or known.epoch is None or fence is None:
            return lambda _: None
        reached = Proof(fence.instant, known.epoch, fence.lsn, ancestors=known.ancestors)
        return lambda _: reached


class ReplicaBackend:
    """Reads of a streaming replica: the position replayed, then the data, on one connection."""

    source = Source.REPLICA

    def __init__(self, pool: Pool, board: LagBoard) -> None:
        self._pool = pool
        self._board = board

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        limit = call.deadline.require("reading the replica")
        async with reading(self._pool, call.tenant_ids, limit, planned_anew=by_values(question)) as reader:
            probe = await reader.probe_replica()
            if not probe.in_recovery:
                await self._pool.renew()  # it was promoted under us: the replica is another server now
            known = self._board.known()
            proof = None if known is None else prove_replica(known, probe)
            if not worth(proof):
                return Reply(proof, answered=False)
            rows = await answer(reader, call.tenant, question)
            token = None
            if call.want_session_token and proof is not None:
                token = Token(proof.epoch, await reader.replayed())
            return Reply(proof, True, rows, token, reader.slotted)

    async def look(self, limit: timedelta) -> Reached:
        """Return what a read of the replica would be proven to cover now."""
        async with self._pool.lease(limit) as session:
            seen = await look_at_replica(session, limit)
        if not seen.in_recovery:
            await self._pool.renew()
        known = self._board.known()
        streams = seen.receiver_status == "streaming"
        read = ReplicaRead(seen.replayed, seen.in_recovery, seen.system_identifier, streams, seen.receiver_timeline)
        reached = None if known is None else prove_replica(known, read)
        return lambda _: reached


def by_values(question: Question) -> bool:
    """Tell whether the best way to an answer depends on the values asked for: one plan for all may be much worse."""
    return isinstance(question, EntitySearch | GroupSearch)


async def answer(reader: Reader, tenant: Tenant, question: Question) -> Rows:
    """Return what the statement after the probe gives."""
    if isinstance(question, EntitySearch):
        return await reader.search(question)
    if isinstance(question, GroupSearch):
        return await reader.groups(question)
    return await _of_tenant(reader, tenant, question)


async def _of_tenant(reader: Reader, tenant: Tenant, question: Simple) -> Rows:
    match question:
        case EntityQuestion(entity=entity, attributes=attributes, as_of=as_of, most=most, position=position):
            number = entity_number(tenant, entity)
            if position is not None:
                return await reader.entity_as_of_position(
                    number, position, attributes=attributes, as_of=as_of, most=most + 1
                )
            return await reader.entity(number, attributes=attributes, as_of=as_of, most=most + 1)
        case ListQuestion(after=after, most=most, attributes=attributes, as_of=as_of):
            return await reader.entities(after, most, attributes=attributes, as_of=as_of)
        case HistoryQuestion(start=start, end=end, newest_first=newest_first, most=most):
            number = entity_number(tenant, question.entity)
            return await reader.history(
                number, question.attribute, start=start, end=end, newest_first=newest_first, most=most
            )
        case FiguresQuestion(start=start, end=end, by_entity=by_entity, bucket=bucket, after=after, most=most):
            return await reader.aggregate(
                question.attribute, start=start, end=end, by_entity=by_entity, bucket=bucket, after=after, most=most
            )
        case PositionQuestion():
            return None
        case _:
            assert_never(question)
