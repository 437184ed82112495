"""The cap on the primary: it holds whatever comes, for each use case and in all, and comes back slowly."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from atlas_query_router.fallback_gate import FallbackGate, Limits
from atlaskit.freshness.requirement import UseCase
from hypothesis import given
from hypothesis import strategies as st

DASHBOARD, REPORT = UseCase.DASHBOARD, UseCase.OPERATIONAL_REPORT
SECOND = timedelta(seconds=1)


def gate(at_a_time: int = 6, per_second: float = 1e9) -> FallbackGate:
    return FallbackGate(Limits(at_a_time, per_second), jitter=lambda: 0.5)


def entered(gate: FallbackGate, use_case: UseCase, now: float, tries: int) -> int:
    return sum(gate.enter(use_case, now) is None for _ in range(tries))


def test_no_more_than_the_cap_run_at_a_time() -> None:
    assert entered(gate(6), DASHBOARD, 0.0, 100) == 6


def test_reports_leave_half_of_the_cap_to_dashboards() -> None:
    shared = gate(6)
    assert entered(shared, REPORT, 0.0, 100) == 3
    assert entered(shared, DASHBOARD, 0.0, 100) == 3


def test_no_more_than_the_rate_enter_however_short_they_run() -> None:
    limited = gate(5, per_second=10)
    admitted = 0
    for step in range(10_000):  # ten seconds
        if limited.enter(DASHBOARD, step / 1000) is None:
            admitted += 1
            limited.leave(DASHBOARD)
    assert 10 * 5 <= admitted <= 5 + 10 * 10


def test_after_a_refusal_half_of_the_cap_holds_until_none_was_refused_for_the_rest() -> None:
    guarded = gate(6)
    assert entered(guarded, DASHBOARD, 0.0, 7) == 6
    for _ in range(6):
        guarded.leave(DASHBOARD)
    assert entered(guarded, DASHBOARD, 0.5, 3) == 3  # demand at half is let in
    assert entered(guarded, DASHBOARD, 0.6, 1) == 0  # above half it is not, and the rest begins anew
    for _ in range(3):
        guarded.leave(DASHBOARD)
    assert entered(guarded, DASHBOARD, 1.55, 4) == 3
    for _ in range(3):
        guarded.leave(DASHBOARD)
    assert entered(guarded, DASHBOARD, 2.6, 6) == 6


def test_who_is_refused_is_told_to_come_after_the_rest_and_not_all_at_once() -> None:
    spread = FallbackGate(Limits(1, 1e9, SECOND), jitter=random.Random(3).random)
    assert spread.enter(DASHBOARD, 0.0) is None
    told = [spread.enter(DASHBOARD, 0.0) for _ in range(200)]
    assert all(later is not None and SECOND <= later <= 2 * SECOND for later in told)
    assert len(set(told)) > 150


def test_a_cap_of_nothing_lets_nobody_in() -> None:
    assert entered(gate(0), DASHBOARD, 0.0, 10) == 0


@given(
    st.lists(st.tuples(st.sampled_from([DASHBOARD, REPORT]), st.floats(0, 0.2), st.booleans()), max_size=300),
    st.integers(1, 8),
    st.floats(1, 200),
)
def test_neither_cap_is_ever_exceeded(steps: list[tuple[UseCase, float, bool]], cap: int, rate: float) -> None:
    limited = FallbackGate(Limits(cap, rate), jitter=lambda: 0.0)
    running: Counter[UseCase] = Counter()
    admitted: list[float] = []
    now = 0.0
    for use_case, pause, leaves in steps:
        now += pause
        if leaves and running[use_case]:
            limited.leave(use_case)
            running[use_case] -= 1
        if limited.enter(use_case, now) is None:
            running[use_case] += 1
            admitted.append(now)
        assert running.total() <= cap
        assert running[REPORT] <= max(cap // 2, 1)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= cap + (admitted[last] - admitted[first]) * rate + 1e-6


@pytest.mark.parametrize("calls", [5000])
async def test_a_stampede_of_thousands_never_has_more_than_the_cap_on_the_primary(calls: int) -> None:
    shared = FallbackGate(Limits(6, 2000.0, timedelta(milliseconds=50)))
    loop, chance = asyncio.get_running_loop(), random.Random(5)
    running: Counter[UseCase] = Counter()
    most: defaultdict[str, int] = defaultdict(int)
    admitted: list[float] = []

    async def caller(use_case: UseCase) -> None:
        for _ in range(3):
            now = loop.time()
            if (later := shared.enter(use_case, now)) is not None:
                await asyncio.sleep(later.total_seconds())
                continue
            running[use_case] += 1
            admitted.append(now)
            most["all"] = max(most["all"], running.total())
            most[use_case] = max(most[use_case], running[use_case])
            try:
                await asyncio.sleep(chance.uniform(0, 0.003))
            finally:
                running[use_case] -= 1
                shared.leave(use_case)
            return

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(caller(REPORT if number % 3 == 0 else DASHBOARD))
    assert most["all"] == 6
    assert most[REPORT] <= 3
    assert len(admitted) <= 6 + (admitted[-1] - admitted[0]) * 2000.0 + 1
    assert 6 < len(admitted) < calls


@given(
    cap=st.integers(0, 12),
    rate=st.floats(0.1, 50),
    steps=st.lists(st.tuples(st.floats(0, 1.5), st.booleans()), max_size=40),
    pause=st.floats(0, 3),
)
def test_the_room_that_is_told_is_what_may_enter_and_telling_it_changes_nothing(
    cap: int, rate: float, steps: list[tuple[float, bool]], pause: float
) -> None:
    told, silent = (FallbackGate(Limits(cap, rate), jitter=lambda: 0.0) for _ in range(2))
    now, running = 0.0, 0
    for step, leaves in steps:
        now += step
        room = told.room(now)
        if leaves and running:
            running -= 1
            for each in (told, silent):
                each.leave(DASHBOARD)
        else:
            in_told, in_silent = (each.enter(DASHBOARD, now) is None for each in (told, silent))
            assert in_told == in_silent == (room > 0)
            running += in_told
    room = told.room(now + pause)
    assert entered(told, DASHBOARD, now + pause, cap + 1) == room
