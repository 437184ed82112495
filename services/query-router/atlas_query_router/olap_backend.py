"""ClickHouse as a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, assert_never
from uuid import UUID

from atlaskit.clickhouse import analytics, grouping, reader, searching, watermark
from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clock import BootInstant, Clock
from atlaskit.freshness.proofs import OlapRead, Proof, Watermark, prove_olap
from atlaskit.freshness.reading import Known
from atlaskit.model import SHARD_COUNT, Source
from atlaskit.position import SourceIdentity, Token
from atlaskit.rpc.deadline import Deadline
from atlaskit.selection.searches import EntitySearch, GroupSearch

from atlas_query_router.backends import Call, Reply, entity_number
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.position_watch import Reached, Shards
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

# A value needs both: whether its entity is there, and the value. Keys and types of assets come resolved with each row.
TABLES: Final = ("entities", "entity_attributes")


class OlapBackend:
    """Reads of ClickHouse: incarnation and watermarks, the data, and the incarnation again."""

    source = Source.OLAP

    def __init__(self, clickhouse: ClickHouse, board: LagBoard, clock: Clock) -> None:
        self._clickhouse = clickhouse
        self._board = board
        self._clock = clock

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        places = places_of(call.shards)
        before, marks = await self._probe(places, call.deadline)
        proof = self._prove(OlapRead(before, marks, before), places)
        if not worth(proof):
            return Reply(proof, answered=False)
        rows = await self._answer(question, call)
        shown = self._clock.boot()
        after = await watermark.read_incarnation(self._clickhouse, call.deadline.require("the second incarnation"))
        # A restart in between may have lost what the watermarks vouched for.
        proof = proof if after is not None and str(after) == before else None
        token = None
        if call.want_session_token and proof is not None:
            token = await self._session_token(shown, proof.epoch, call.deadline)
        return Reply(proof, True, rows, token)

    async def look(self, limit: timedelta) -> Reached:
        """Return what a read would be proven to cover now, by the watermarks of every shard, read once."""
        before, marks = await self._probe(places_of(tuple(range(SHARD_COUNT))), Deadline.after(limit))
        read = OlapRead(before, marks, before)
        return lambda shards: self._prove(read, places_of(shards))

    async def _probe(self, places: list[tuple[str, int]], deadline: Deadline) -> tuple[str | None, list[Watermark]]:
        # The watermarks are those of the running incarnation and name it: one statement tells both.
        marks = await watermark.read_watermarks(self._clickhouse, places, deadline.require("reading the watermarks"))
        names = {name: str(name) for name in {name for mark in marks for name in (mark.monitor, mark.incarnation)}}
        return (names[marks[0].incarnation] if marks else None), [_domain(mark, names) for mark in marks]

    def _prove(self, read: OlapRead, places: list[tuple[str, int]]) -> Proof | None:
        known = self._board.known()
        return None if known is None else prove_olap(known, read, places)

    async def _session_token(self, shown: BootInstant, epoch: int, deadline: Deadline) -> Token | None:
        """Return the first fence stamped after the data were read: all that they showed was committed before it."""
        while True:
            known = self._board.known()
            token = None if known is None or known.epoch != epoch else fence_after(known, shown)
            if token is not None or not await self._board.next_reading(deadline):
                return token

    async def _answer(self, question: Question, call: Call) -> Rows:
        limit = call.deadline.require("querying ClickHouse")
        if isinstance(question, EntitySearch):
            return await searching.search(self._clickhouse, question, limit=limit)
        if isinstance(question, GroupSearch):
            return await grouping.groups(self._clickhouse, question, limit=limit)
        return await self._of_tenant(question, call, limit)

    async def _of_tenant(self, question: Simple, call: Call, limit: timedelta) -> Rows:
        clickhouse, tenant_id = self._clickhouse, call.tenant.tenant_id
        match question:
            case EntityQuestion(entity=entity, attributes=names, as_of=as_of, most=most):
                number = entity_number(call.tenant, entity)
                return await reader.entity(
                    clickhouse, tenant_id, number, attributes=names, as_of=as_of, most=most + 1, limit=limit
                )
            case ListQuestion(after=after, most=most, attributes=names, as_of=as_of):
                return await analytics.entities(
                    clickhouse, tenant_id, after, most, attributes=names, as_of=as_of, limit=limit
                )
            case HistoryQuestion(start=start, end=end, newest_first=newest_first, most=most):
                number = entity_number(call.tenant, question.entity)
                return await reader.history(
                    clickhouse, tenant_id, number, question.attribute,
                    start=start, end=end, newest_first=newest_first, most=most, limit=limit,
                )  # fmt: skip
            case FiguresQuestion(start=start, end=end, by_entity=by_entity, bucket=bucket, after=above, most=most):
                return await analytics.figures(
                    clickhouse, tenant_id, question.attribute,
                    start=start, end=end, by_entity=by_entity, bucket=bucket, after=above, most=most, limit=limit,
                )  # fmt: skip
            case PositionQuestion():
                return None
            case _:
                assert_never(question)


def places_of(shards: Shards) -> list[tuple[str, int]]:
    """Return every table and shard that an answer about these shards is made of."""
    return [(table, shard) for table in TABLES for shard in shards]


def fence_after(known: Known, shown: BootInstant) -> Token | None:
    """Return the position of the oldest known fence stamped at or after `shown`, or None: none is known yet."""
    assert known.epoch is not None
    later = [fence for fence in known.fences if fence.instant >= shown]
    return Token(known.epoch, later[-1].lsn) if later else None


def _domain(mark: watermark.Watermark, names: Mapping[UUID, str]) -> Watermark:
    return Watermark(
        table=mark.table,
        shard=mark.shard,
        monitor_id=names[mark.monitor],
        beat=mark.beat,
        epoch=mark.epoch,
        identity=SourceIdentity(mark.system_identifier, mark.timeline),
        incarnation=names[mark.incarnation],
    )
