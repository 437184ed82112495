"""A slice of the simulation: `make check-freshness` runs a thousand seeds and every mutant."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from checker.campaign import plan_of, replay_of
from checker.history import ReadAnswered
from checker.mutants import MUTANTS, Mutant
from checker.naive import naive
from checker.sim.clients import Pace
from checker.sim.faults import Planned
from checker.sim.loop import MOST_AT_ONCE, START, ProcessLoop, Scheduler
from checker.sim.run import Plan, simulate
from checker.verdict import check

SHORT = 4.0  # virtual seconds of faults
NS_PER_S = 1_000_000_000
MINUTES = 180.0  # virtual seconds of a fault that lasts
# What the monitor does all the time, done more seldom: a run of minutes is to take seconds.
SELDOM = {
    "fence_interval": timedelta(milliseconds=200),
    "beat_interval": timedelta(milliseconds=300),
    "primary_beat_interval": timedelta(seconds=1),
    "lag_interval": timedelta(milliseconds=200),
    "poll_interval": timedelta(milliseconds=500),
    "olap_poll_interval": timedelta(milliseconds=500),
}


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_no_claim_is_false_under_faults(seed: int) -> None:
    ran = simulate(replace(plan_of(seed), span=SHORT))
    verdict = check(ran.history)
    assert sum(verdict.claims.values()) > 100
    assert len(verdict.faults) + verdict.faults.total() >= 2
    assert not verdict.violations, f"{verdict.violations[0]}\n{replay_of(seed)}"


def test_after_a_failover_every_class_meets_its_budget_again() -> None:
    plan = Plan(2, span=SHORT, planned=(Planned("promotion", "", 0.5, 2.0),))
    verdict = check(simulate(plan).history)
    assert not [one for one in verdict.violations if one.check == "C10"]


def test_clickhouse_that_is_slow_for_minutes_is_claimed_as_old_as_it_is_and_catches_up() -> None:
    minutes = (Planned("slow-link", "olap-sink|clickhouse", 0.5, MINUTES, 2.0),)
    plan = Plan(1, span=MINUTES + 1, planned=minutes, readers=1, writers=1, pace=Pace(2.0, 1.0), knobs=SELDOM)
    history = simulate(plan).history
    answered = [one for one in history.events if isinstance(one, ReadAnswered) and one.source == "olap"]
    claims = [one.claim for one in answered if one.claim is not None]
    assert max(claims) > 10 * NS_PER_S
    assert claims[-1] < 5 * NS_PER_S
    verdict = check(history)
    assert not verdict.violations, verdict.violations[0]
    assert sum(verdict.claims.values()) > 100


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.quick], ids=lambda one: one.name)
def test_a_mutant_is_killed(mutant: Mutant) -> None:
    found: set[str] = set()
    for seed in (1, 2, 3):
        found |= {one.check for one in check(simulate(mutant.planned(seed)).history).violations}
        if found & set(mutant.killed_by):
            return
    pytest.fail(f"{mutant.name} is alive: {mutant.breaks}; found {found}")


def test_the_naive_twin_is_wrong_under_the_same_faults() -> None:
    faults = (Planned("replay-paused", "", 0.5, 3.0), Planned("connector-slow", "", 0.5, 3.0))
    plan = Plan(1, span=SHORT, planned=faults, to_the_end=False)
    assert check(simulate(plan).history).false_claims == 0
    assert check(simulate(replace(plan, mutate=naive)).history).false_claims > 0


def test_a_seed_is_the_same_run_whatever_the_hashes_of_texts(root: Path) -> None:
    code = (
        "from checker.sim.run import *; from checker.campaign import plan_of;"
        "print(simulate(dataclasses.replace(plan_of(3), span=1.5)).digest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", f"import dataclasses; {code}"],
            env={**os.environ, "PYTHONPATH": str(root / "tests"), "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    }
    assert len(digests) == 1


def test_a_wait_that_is_shorter_than_the_clock_can_tell_is_over_some_time() -> None:
    scheduler = Scheduler()
    loop, waits = ProcessLoop(scheduler, "one"), 0

    async def until_later() -> None:
        nonlocal waits
        begun = loop.time()
        while loop.time() == begun:
            waits += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(1e-14):
                    await asyncio.Event().wait()

    task = loop.create_task(until_later())
    scheduler.run_until(START + 1)
    assert task.done()
    assert 1 < waits < MOST_AT_ONCE
