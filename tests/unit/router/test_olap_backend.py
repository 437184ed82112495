"""What an answer of ClickHouse is proven to be: by the least of all the shards of its tenant, read before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from atlas_query_router.backends import Call
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.olap_backend import TABLES, OlapBackend
from atlas_query_router.questions import (
    EntityQuestion,
    FiguresQuestion,
    HistoryQuestion,
    ListQuestion,
    PositionQuestion,
    Question,
)
from atlaskit.clickhouse.pool import Row
from atlaskit.clock import SystemClock
from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.reading import AgedBeat, Reading
from atlaskit.model import EntityIdentity, Tenant, shards_of
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.rpc.deadline import Deadline

MONITOR, RUNNING, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
TENANT = Tenant(7, "t", EntityIdentity.NUMBERED, 5, 10, b"0" * 16, datetime(2026, 1, 1, tzinfo=UTC))
SHARDS = shards_of(TENANT.tenant_id, TENANT.spread)
QUESTIONS: list[Question] = [
    EntityQuestion(7, 1),
    ListQuestion(7, (), None, -1, 10),
    HistoryQuestion(7, 1, "k", None, None, False, 10),
    FiguresQuestion(7, "k", None, None, False, None, (-2, 0), 10),
    PositionQuestion(7),
]


class Store:
    """A ClickHouse with watermarks and without rows; it remembers what it was asked, in order."""

    def __init__(self) -> None:
        self.beats = {(table, shard): 9 for table in TABLES for shard in SHARDS}
        self.incarnations = [RUNNING]
        self.asked: list[str] = []

    async def rows(self, sql: str, parameters: Any = None, **_: Any) -> list[Row]:
        if "proven_watermarks" in sql:
            self.asked.append("watermarks")
            return [
                (table, shard, MONITOR, beat, 1, 1, "5", beat * 100, RUNNING)
                for (table, shard), beat in self.beats.items()
            ]
        if "olap_incarnation" in sql:
            self.asked.append("incarnation")
            return [(incarnation,) for incarnation in self.incarnations]
        self.asked.append("data")
        return []


async def proof(store: Store, question: Question) -> Proof | None:
    board = LagBoard(SystemClock(), timedelta(hours=1))
    beats = tuple(AgedBeat(number, Lsn(number * 100), timedelta(seconds=10 - number)) for number in (9, 8, 7))
    assert await board.answer(board.question(), Reading(SourceIdentity(5, 1), 1, beats=beats, monitor_id=str(MONITOR)))
    backend = OlapBackend(store, board, SystemClock())  # type: ignore[arg-type]  # all that it uses is here
    call = Call(TENANT, SystemClock().boot(), Deadline.after(timedelta(seconds=5)))
    return (await backend.read(question, call, lambda _: True)).proof


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: type(question).__name__)
async def test_every_kind_of_question_is_as_fresh_as_the_slowest_shard_of_its_tenant(question: Question) -> None:
    for table in TABLES:
        for shard in SHARDS:
            store = Store()
            assert (await proof(store, question) or pytest.fail("unproven")).beat == 9
            store.beats[table, shard] = 7
            assert (await proof(store, question) or pytest.fail("unproven")).beat == 7
            del store.beats[table, shard]
            assert await proof(store, question) is None


@pytest.mark.parametrize("question", QUESTIONS[:4], ids=lambda question: type(question).__name__)
async def test_watermarks_are_read_before_the_data_and_the_incarnation_again_after_them(question: Question) -> None:
    store = Store()
    await proof(store, question)
    assert store.asked[0] == "watermarks"
    assert store.asked[-1] == "incarnation"
    assert set(store.asked[1:-1]) == {"data"}


@pytest.mark.parametrize("after", [[], [OTHER], [RUNNING, OTHER]])
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: type(question).__name__)
async def test_another_incarnation_after_the_data_proves_nothing(question: Question, after: list[UUID]) -> None:
    store = Store()
    store.incarnations = after
    assert await proof(store, question) is None


async def test_a_look_for_those_who_wait_tells_each_by_its_own_shards() -> None:
    store = Store()
    board = LagBoard(SystemClock(), timedelta(hours=1))
    beats = tuple(AgedBeat(number, Lsn(number * 100), timedelta(seconds=10 - number)) for number in (9, 8))
    await board.answer(board.question(), Reading(SourceIdentity(5, 1), 1, beats=beats, monitor_id=str(MONITOR)))
    store.beats["entities", SHARDS[0]] = 8
    backend = OlapBackend(store, board, SystemClock())  # type: ignore[arg-type]
    reached = await backend.look(timedelta(seconds=1))
    found = {shard: reached((shard,)) for shard in range(10)}
    assert {shard for shard, one in found.items() if one is not None} == set(SHARDS)
    assert {shard: one.beat for shard, one in found.items() if one is not None and one.beat != 9} == {SHARDS[0]: 8}
    assert store.asked == ["watermarks"]
