"""One tenant's reads never take more than their share, and never hold up another tenant or another class."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from atlas_query_router.backends import Call, Reply
from atlas_query_router.classes import ClassedBackend, QueryClass, class_of
from atlas_query_router.position_watch import Reached
from atlas_query_router.questions import (
    EntityQuestion,
    FiguresQuestion,
    HistoryQuestion,
    ListQuestion,
    PositionQuestion,
    Question,
)
from atlas_query_router.tenant_gate import SOONEST, TenantGate, TenantLimits
from atlaskit.clock import BootInstant
from atlaskit.errors import TenantBusy
from atlaskit.freshness.proofs import Proof
from atlaskit.model import EntityIdentity, Source, Tenant
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.errors import fault_of
from atlaskit.selection.searches import EntitySearch, GroupSearch
from grpc import StatusCode

OPERATIONAL, ANALYTICAL = QueryClass.OPERATIONAL, QueryClass.ANALYTICAL
LONG = timedelta(seconds=30)


def gate(running: int = 2, waiting: int = 1) -> TenantGate:
    return TenantGate({kind: TenantLimits(running, waiting) for kind in QueryClass})


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


class Reader:
    """A read that holds its place until it is told to leave."""

    def __init__(
        self, gate: TenantGate, tenant: int = 1, kind: QueryClass = OPERATIONAL, span: timedelta = LONG
    ) -> None:
        self.inside = False
        self.leave = asyncio.Event()
        self.task = asyncio.ensure_future(self._read(gate, tenant, kind, span))

    async def _read(self, gate: TenantGate, tenant: int, kind: QueryClass, span: timedelta) -> None:
        async with gate.place(kind, tenant, Deadline.after(span)):
            self.inside = True
            await self.leave.wait()

    async def left(self) -> None:
        self.leave.set()
        await self.task


async def test_a_tenant_has_so_many_places_and_so_many_wait_and_one_more_is_told_when_to_come() -> None:
    at = gate()
    readers = [Reader(at) for _ in range(3)]
    await settled()
    assert [reader.inside for reader in readers] == [True, True, False]
    with pytest.raises(TenantBusy, match="tenant 1 ") as refused:
        async with at.place(OPERATIONAL, 1, Deadline.after(LONG)):
            pass
    fault = fault_of(refused.value)
    assert (fault.code, fault.reason) == (StatusCode.RESOURCE_EXHAUSTED, "TENANT_READS_FULL")
    assert fault.retry_after is not None
    assert fault.retry_after >= SOONEST
    await readers[0].left()
    await settled()
    assert readers[2].inside
    for reader in readers[1:]:
        await reader.left()


async def test_a_full_tenant_holds_up_neither_another_tenant_nor_another_class() -> None:
    at = gate(running=1, waiting=0)
    full = Reader(at)
    await settled()
    others = [Reader(at, tenant=2), Reader(at, kind=ANALYTICAL)]
    await settled()
    assert all(reader.inside for reader in others)
    for reader in (full, *others):
        await reader.left()


async def test_places_are_given_in_the_order_of_arrival() -> None:
    at = gate(running=1, waiting=5)
    readers = [Reader(at) for _ in range(4)]
    for number, reader in enumerate(readers):
        await settled()
        assert [one.inside for one in readers] == [place <= number for place in range(4)]
        await reader.left()


async def test_who_leaves_the_line_leaves_no_gap_and_no_trace() -> None:
    at = gate(running=1, waiting=2)
    first, impatient, last = Reader(at), Reader(at), Reader(at)
    await settled()
    impatient.task.cancel()
    await settled()
    again = Reader(at)
    await first.left()
    await settled()
    assert (last.inside, again.inside) == (True, False)
    await last.left()
    await again.left()
    assert at._lines == {}


async def test_a_place_that_comes_to_one_who_was_cancelled_goes_to_the_next() -> None:
    at = gate(running=1, waiting=2)
    first, cancelled, last = Reader(at), Reader(at), Reader(at)
    await settled()
    first.leave.set()
    await asyncio.sleep(0)  # the place is handed on, and its new reader has not run yet
    cancelled.task.cancel()
    await settled()
    assert last.inside
    await last.left()
    assert at._lines == {}


async def test_a_line_that_does_not_move_is_left_in_time_for_an_answer() -> None:
    at = gate(running=1, waiting=2)
    first = Reader(at)
    await settled()
    late = Reader(at, span=timedelta(milliseconds=50))
    with pytest.raises(TenantBusy):
        await late.task
    await first.left()
    assert at._lines == {}


async def test_many_readers_that_come_go_and_give_up_never_exceed_the_limit() -> None:
    at, inside, most = gate(running=3, waiting=100), 0, 0

    async def read(number: int) -> None:
        nonlocal inside, most
        async with at.place(OPERATIONAL, 1, Deadline.after(LONG)):
            inside += 1
            most = max(most, inside)
            try:
                for _ in range(number % 4):
                    await asyncio.sleep(0)
            finally:
                inside -= 1

    tasks = [asyncio.ensure_future(read(number)) for number in range(90)]
    for number, task in enumerate(tasks):
        if number % 7 == 3:
            await asyncio.sleep(0)
            task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ended} <= {type(None), asyncio.CancelledError}
    assert most == 3
    assert at._lines == {}


QUESTIONS: dict[Question, QueryClass] = {
    EntityQuestion(1, 5): OPERATIONAL,
    ListQuestion(1, (), None, -1, 10): OPERATIONAL,
    HistoryQuestion(1, 5, "a", None, None, False, 10): OPERATIONAL,
    PositionQuestion(1): OPERATIONAL,
    EntitySearch(1, None, (), (), None, None, 10): OPERATIONAL,
    FiguresQuestion(1, "a", None, None, False, None, (-2, 0), 10): ANALYTICAL,
    GroupSearch((1, 2), "a", False, None, (), (), (), None, None, False, None, 10): ANALYTICAL,
}


class Copy:
    """A copy that keeps each read until it is let go."""

    source = Source.REPLICA

    def __init__(self) -> None:
        self.reading = 0
        self.let_go = asyncio.Event()

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        self.reading += 1
        await self.let_go.wait()
        return Reply(None, answered=True)

    async def look(self, limit: timedelta) -> Reached:
        return lambda _: None


def call() -> Call:
    tenant = Tenant(1, "t", EntityIdentity.KEYED, 1, 10, b"0" * 16, datetime(2026, 1, 1, tzinfo=UTC))
    return Call(tenant, BootInstant(0), Deadline.after(LONG))


@pytest.mark.parametrize("question", QUESTIONS)
async def test_each_class_is_read_on_connections_of_its_own(question: Question) -> None:
    assert class_of(question) is QUESTIONS[question]
    copies = {kind: Copy() for kind in QueryClass}
    for copy in copies.values():
        copy.let_go.set()
    await ClassedBackend(copies, gate()).read(question, call(), lambda _: True)
    assert {kind: copy.reading for kind, copy in copies.items()} == {
        kind: int(kind is QUESTIONS[question]) for kind in QueryClass
    }


async def test_to_ask_how_far_a_copy_is_takes_no_place_of_a_tenant() -> None:
    copies = {kind: Copy() for kind in QueryClass}
    backend = ClassedBackend(copies, gate(running=1, waiting=0))
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(backend.read(EntityQuestion(1, 5), call(), lambda _: True))
        group.create_task(backend.read(PositionQuestion(1), call(), lambda _: True))
        await settled()
        assert copies[OPERATIONAL].reading == 2
        with pytest.raises(TenantBusy):
            await backend.read(EntityQuestion(1, 5), call(), lambda _: True)
        copies[OPERATIONAL].let_go.set()
