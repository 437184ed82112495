"""Each check passes a good history and fails one that was made bad on purpose, naming the events that contradict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from checker.history import (
    COUNT,
    CURRENT,
    HISTORY,
    CopyCounted,
    FaultEnded,
    FaultStarted,
    Healed,
    History,
    Item,
    PassedOver,
    ReadAnswered,
    ReadRefused,
    ReadSent,
    Seen,
    WriteAcknowledged,
    WriteFailed,
    WriteSent,
    WritesLost,
    dump,
    load,
)
from checker.index import facts_of
from checker.timing import slacks
from checker.verdict import Limits, Verdict, check

MS = 1_000_000
SECOND = 1000 * MS


class Script:
    """A history told line by line; `at` is in milliseconds."""

    def __init__(self) -> None:
        self.history = History(replay="make again", tier="hand", seed=7)
        self.now = 0

    def event(self, event: Any) -> int:
        self.now = max(self.now, event.at)
        self.history.append(event)
        return len(self.history.events) - 1

    def sent(self, at: float, *items: Item, tenant: int = 1, session: str = "") -> int:
        op = self.history.next_op()
        self.event(WriteSent(int(at * MS), op, tenant, items, session))
        return op

    def acked(self, at: float, op: int, lsn: int = 0, epoch: int = 1, created: int | None = None) -> int:
        return self.event(WriteAcknowledged(int(at * MS), op, f"a1.{epoch}.{lsn or op * 16:x}", created))

    def put(self, at: float, key: str, event_time: int | None, value: int | None, **more: Any) -> int:
        """A write that takes a millisecond."""
        op = self.sent(at, Item(key, event_time, value), **{k: more[k] for k in more if k in ("tenant", "session")})
        self.acked(at + 1, op, **{k: more[k] for k in more if k in ("lsn", "epoch", "created")})
        return op

    def ask(self, at: float, *keys: str, shape: str = CURRENT, tenant: int = 1, **more: Any) -> int:
        op = self.history.next_op()
        wanted = {"use_case": "dashboard", "policy": "fail_fast", "limit": SECOND, "sources": ("replica", "primary")}
        self.event(ReadSent(int(at * MS), op, tenant, shape, keys, **{**wanted, **more}))
        return op

    def answer(self, at: float, op: int, *seen: tuple[str, int, int], claim: float | None = 10, **more: Any) -> int:
        bound = None if claim is None else int(claim * MS)
        source = more.pop("source", "replica")
        return self.event(
            ReadAnswered(int(at * MS), op, source, bound, tuple(Seen(*one) for one in seen), **{"epoch": 1, **more})
        )

    def read(self, at: float, *seen: tuple[str, int, int], keys: Iterable[str] = ("k",), **more: Any) -> int:
        """A read that takes a millisecond."""
        asked = ("shape", "tenant", "use_case", "policy", "limit", "sources", "token", "session", "start", "end")
        op = self.ask(at, *keys, **{k: more[k] for k in more if k in asked})
        self.answer(at + 1, op, *seen, **{k: more[k] for k in more if k not in asked})
        return op

    def verdict(self, limits: Limits | None = None) -> Verdict:
        return check(self.history, limits)

    def broken(self, limits: Limits | None = None) -> list[str]:
        return [one.check for one in self.verdict(limits).violations]


@pytest.fixture
def script() -> Script:
    return Script()


def test_a_claim_that_misses_what_was_acknowledged_before_it_is_false_and_names_the_write(script: Script) -> None:
    script.put(0, "k", 1, 100)
    script.put(50, "k", 2, 101)
    script.read(61.5, ("k", 1, 100), claim=10)
    (violation,) = script.verdict().violations
    assert violation.check == "C1"
    assert violation.events == (2, 3, 4, 5)
    assert "claimed at most 10.000 ms and showed value 100 of k at 2 of tenant 1" in violation.what
    assert "acknowledged 10.500 ms before" in violation.what


@pytest.mark.parametrize(
    ("claim", "broken"), [(10.499999, ["C1"]), (10.5, ["C1"]), (10.500001, []), (500, [])], ids=str
)
def test_a_claim_is_false_to_the_nanosecond(script: Script, claim: float, broken: list[str]) -> None:
    script.put(0, "k", 1, 100)
    script.put(50, "k", 2, 101)
    script.read(61.5, ("k", 1, 100), claim=claim)
    assert script.broken() == broken


def test_an_empty_answer_misses_everything(script: Script) -> None:
    script.put(0, "k", 1, 100)
    script.read(50, claim=10)
    assert script.broken() == ["C1"]


def test_a_later_observation_supersedes_an_earlier_one_whatever_the_order_of_delivery(script: Script) -> None:
    script.put(0, "k", 9, 100)
    script.put(10, "k", 3, 101)  # arrives later, happened earlier
    script.read(50, ("k", 9, 100))
    assert script.broken() == []
    script.read(60, ("k", 9, 100), shape=HISTORY)
    assert script.broken() == ["C1"]


def test_a_correction_replaces_the_observation(script: Script) -> None:
    script.put(0, "k", 1, 100)
    script.put(10, "k", 1, 101)
    for shape in (CURRENT, HISTORY):
        script.read(script.now / MS + 30, ("k", 1, 101), shape=shape)
    assert script.broken() == []
    script.read(100, ("k", 1, 100))
    script.read(110, ("k", 1, 100), shape=HISTORY)
    assert script.broken() == ["C1", "C1"]


def test_of_two_writes_that_overlap_either_may_hold(script: Script) -> None:
    first, second = script.sent(0, Item("k", 1, 100)), script.sent(1, Item("k", 1, 101))
    script.acked(2, second)
    script.acked(3, first)
    script.read(50, ("k", 1, 100))
    script.read(60, ("k", 1, 101))
    assert script.broken() == []


def test_a_write_of_unknown_outcome_may_show_or_not_and_also_late(script: Script) -> None:
    script.sent(0, Item("k", 1, 99))
    script.put(10, "k", 1, 100)
    script.read(50, ("k", 1, 99))
    script.read(60, ("k", 1, 100))
    assert script.broken() == []


def test_a_history_misses_the_first_that_is_missing_and_only_within_its_range(script: Script) -> None:
    for number in range(5):
        script.put(number * 10, "k", number, 100 + number)
    all_but_two = [("k", n, 100 + n) for n in (0, 1, 3, 4)]
    script.read(100, *all_but_two, shape=HISTORY, claim=80)
    assert script.broken() == []
    script.read(110, *all_but_two, shape=HISTORY, start=3, claim=10)
    script.read(120, *all_but_two[:2], shape=HISTORY, end=2, claim=10)
    assert script.broken() == []
    script.read(130, *all_but_two, shape=HISTORY, start=2, claim=10)
    assert script.broken() == ["C1"]


def test_a_count_that_is_too_small_is_a_false_claim_and_one_too_great_is_a_duplicate(script: Script) -> None:
    for number in range(4):
        script.put(number * 10, "k", number, 100 + number)
    script.put(40, "l", 1, 104)
    script.read(60, keys=("k", "l"), shape=COUNT, rows=5)
    script.read(70, keys=("k", "l"), shape=COUNT, rows=4, claim=31)
    assert script.broken() == []
    script.read(80, keys=("k", "l"), shape=COUNT, rows=4)
    assert script.broken() == ["C1"]
    script.read(90, keys=("k", "l"), shape=COUNT, rows=6)
    assert script.broken() == ["C1", "C3"]


def test_a_deleted_observation_gives_way_to_the_one_before_it(script: Script) -> None:
    script.put(0, "k", 1, 100)
    script.put(10, "k", 2, 101)
    script.put(20, "k", 2, None)
    script.read(50, ("k", 1, 100))
    script.read(52, ("k", 1, 100), shape=HISTORY)
    assert script.broken() == []
    script.read(60, ("k", 2, 101))
    script.read(62, ("k", 1, 100), ("k", 2, 101), shape=HISTORY)
    script.read(70)
    assert script.broken() == ["C1", "C1", "C1"]


def test_a_deleted_key_is_empty_until_it_is_written_again(script: Script) -> None:
    script.put(0, "k", 5, 100)
    script.put(10, "k", None, None)
    script.read(40)
    assert script.broken() == []
    script.put(50, "k", 3, 101)
    script.read(80, ("k", 3, 101))
    assert script.broken() == []
    script.read(90)
    script.read(95, ("k", 5, 100))
    assert script.broken() == ["C1", "C1"]


def test_a_delete_of_unknown_outcome_may_have_happened(script: Script) -> None:
    script.put(0, "k", 5, 100)
    script.sent(10, Item("k", None, None))
    script.read(40)
    script.read(50, ("k", 5, 100))
    assert script.broken() == []


def test_what_nobody_wrote_or_only_later_or_elsewhere_or_in_vain_is_a_phantom(script: Script) -> None:
    failed = script.sent(0, Item("k", 2, 101))
    script.event(WriteFailed(1 * MS, failed, "REFUSED"))
    script.put(2, "l", 1, 102)
    script.sent(3, Item("k", 1, 103), Item("k", 1, 104))
    for value in (999, 101, 102, 103):
        script.read(script.now / MS + 1, ("k", 1, value), claim=None, limit=SECOND, policy="degrade", degraded=True)
    before = script.ask(40, "k")
    later = script.sent(50, Item("k", 3, 105))
    script.history.events[-1] = WriteSent(41 * MS, later, 1, (Item("k", 3, 105),))
    script.history.events.insert(-1, ReadAnswered(41 * MS, before, "replica", 10 * MS, (Seen("k", 3, 105),), epoch=1))
    assert [one for one in script.broken() if one == "C2"] == ["C2"] * 5
    problems = [one.what.rpartition(": ")[2] for one in script.verdict().violations if one.check == "C2"]
    assert problems == [
        "nobody wrote it",
        "it was written to k at 2 of tenant 1 (request 1)",
        "it was written to l at 1 of tenant 1 (request 2)",
        "a later item of its own request replaced it",
        "it was written only afterwards",
    ]


def test_a_write_that_was_said_to_have_failed_is_never_shown(script: Script) -> None:
    failed = script.sent(0, Item("k", 2, 101))
    script.event(WriteFailed(1 * MS, failed, "REFUSED"))
    script.read(10, ("k", 2, 101))
    assert script.broken() == ["C2"]


def test_nothing_is_shown_twice_or_unasked(script: Script) -> None:
    script.put(0, "k", 1, 100)
    script.put(2, "k", 2, 101)
    script.put(4, "l", 2, 102)
    script.read(50, ("k", 1, 100), ("k", 2, 101))
    script.read(60, ("k", 1, 100), ("k", 2, 101), ("k", 2, 101), shape=HISTORY)
    script.read(70, ("k", 2, 101), ("l", 2, 102))
    assert script.broken() == ["C3", "C3", "C3"]


@pytest.mark.parametrize("shape", [CURRENT, HISTORY])
def test_a_session_never_goes_back(script: Script, shape: str) -> None:
    script.put(0, "k", 1, 100)
    script.put(10, "k", 2, 101)
    all_of_it = (("k", 2, 101),) if shape == CURRENT else (("k", 1, 100), ("k", 2, 101))
    script.read(12, *all_of_it, shape=shape, session="a", claim=1)
    script.read(14, ("k", 1, 100), shape=shape, session="b", claim=500)
    script.read(16, *all_of_it, shape=shape, session="b", claim=500)
    assert script.broken() == []
    script.read(18, ("k", 1, 100), shape=shape, session="a", claim=500)
    script.read(20, shape=shape, session="b", claim=500)
    assert script.broken() == ["C4", "C4"]


def test_a_session_sees_what_it_wrote(script: Script) -> None:
    script.put(0, "k", 1, 100, session="a")
    script.read(2, session="b", claim=500)
    assert script.broken() == []
    script.read(4, session="a", claim=500)
    assert script.broken() == ["C4"]


def test_reads_of_a_session_that_overlap_may_come_in_any_order(script: Script) -> None:
    script.put(0, "k", 1, 100)
    first, second = script.ask(5, "k", session="a"), script.ask(6, "k", session="a")
    script.answer(7, first, ("k", 1, 100), claim=1)
    script.answer(8, second, claim=500)
    assert script.broken() == []


def test_a_token_brings_every_write_up_to_it_and_no_more(script: Script) -> None:
    script.put(0, "k", 1, 100, lsn=0x100)
    script.put(2, "k", 2, 101, lsn=0x200)
    script.put(4, "k", 3, 102, lsn=0x300)
    script.read(6, ("k", 2, 101), token="a1.1.200", claim=500)
    script.read(8, ("k", 2, 101), token="a1.1.2ff", claim=500)
    assert script.broken() == []
    script.read(10, ("k", 2, 101), token="a1.1.300", claim=500)
    script.read(12, ("k", 1, 100), ("k", 3, 102), shape=HISTORY, token="a1.1.300", claim=500)
    assert script.broken() == ["C5", "C5"]


def test_a_token_is_not_served_by_an_earlier_epoch(script: Script) -> None:
    script.put(0, "k", 1, 100, epoch=2)
    script.read(6, ("k", 1, 100), token="a1.2.10", epoch=2)
    assert script.broken() == []
    script.read(8, ("k", 1, 100), token="a1.2.10", epoch=1)
    assert script.broken() == ["C5"]


def test_copies_that_differ_or_miss_a_day_have_diverged(script: Script) -> None:
    for copy in ("primary", "replica", "olap"):
        script.event(CopyCounted(5, copy, 1, "2026-01-01", 10, "aa"))
    assert script.broken() == []
    script.event(CopyCounted(5, "primary", 2, "2026-01-01", 10, "aa"))
    script.event(CopyCounted(5, "replica", 2, "2026-01-01", 10, "aa"))
    script.event(CopyCounted(5, "olap", 2, "2026-01-01", 10, "ab"))
    script.event(CopyCounted(5, "primary", 2, "2026-01-02", 1, "cc"))
    assert script.broken() == ["C6", "C6"]


def test_a_tenant_never_sees_the_value_of_another(script: Script) -> None:
    script.put(0, "k", 1, 100, tenant=1)
    script.put(2, "k", 1, 101, tenant=2)
    script.read(5, ("k", 1, 100), tenant=1)
    assert script.broken() == []
    script.read(7, ("k", 1, 101), tenant=1, claim=500)
    assert script.broken() == ["C7"]


@pytest.mark.parametrize(
    ("asked", "answered", "honest"),
    [
        ({}, {}, True),
        ({}, {"claim": 1001}, False),
        ({}, {"claim": None}, False),
        ({}, {"claim": 0}, False),
        ({}, {"claim": 1001, "degraded": True}, False),
        ({"policy": "degrade"}, {"claim": 1001, "degraded": True}, True),
        ({"policy": "degrade"}, {"claim": None, "degraded": True}, True),
        ({"policy": "degrade"}, {"claim": 5, "degraded": True}, False),
        ({}, {"source": "olap"}, False),
        ({}, {"source": "primary"}, False),
        ({}, {"source": "primary", "passed_over": (PassedOver("replica", "too_stale", None),)}, True),
    ],
)
def test_headers_say_what_is_so(script: Script, asked: Any, answered: Any, honest: bool) -> None:
    script.put(0, "k", 1, 100)
    script.read(5, ("k", 1, 100), **asked, **answered)
    assert script.broken() == ([] if honest else ["C8"])


@pytest.mark.parametrize("shape", [CURRENT, HISTORY])
def test_postgres_shows_a_request_whole_or_not_at_all(script: Script, shape: str) -> None:
    script.put(0, "k", 1, 100)
    script.put(2, "l", 1, 101)
    both = script.sent(10, Item("k", 2, 102), Item("l", 2, 103))
    script.acked(11, both)
    old, new = (("k", 1, 100), ("l", 1, 101)), (("k", 2, 102), ("l", 2, 103))
    everything = new if shape == CURRENT else old + new
    script.read(12, *old, keys=("k", "l"), shape=shape, claim=500)
    script.read(14, *everything, keys=("k", "l"), shape=shape, claim=500)
    half = (new[0], old[1]) if shape == CURRENT else (*old, new[0])
    olap = {"source": "olap", "sources": ("olap",)}
    script.read(16, *half, keys=("k", "l"), shape=shape, claim=500, **olap)
    assert script.broken() == []
    script.read(18, *half, keys=("k", "l"), shape=shape, claim=500)
    assert script.broken() == ["C9"]


def outage(script: Script, satisfied_after: float | None) -> None:
    script.read(0)
    script.event(FaultStarted(10 * MS, 1, "kill", "olap-sink"))
    refused = script.ask(20, "k")
    script.event(ReadRefused(21 * MS, refused, "TOO_STALE", True))
    script.event(FaultEnded(30 * MS, 1))
    script.event(Healed(100 * MS))
    for at in range(110, 300, 10):
        if satisfied_after is not None and at >= 100 + satisfied_after:
            script.read(at)
        else:
            script.event(ReadRefused((at + 1) * MS, script.ask(at, "k"), "TOO_STALE", True))


@pytest.mark.parametrize(("after", "recovered"), [(20, True), (90, True), (120, False), (None, False)])
def test_each_class_meets_its_budget_again_within_the_limit(
    script: Script, after: float | None, recovered: bool
) -> None:
    outage(script, after)
    assert script.broken(Limits(recovery=100 * MS)) == ([] if recovered else ["C10"])


def test_a_next_fault_within_the_limit_leaves_recovery_open(script: Script) -> None:
    outage(script, None)
    for index, event in enumerate(script.history.events):
        if event.at > 190 * MS:
            script.history.events.insert(index, FaultStarted(event.at, 2, "kill", "ingest"))
            break
    assert script.broken(Limits(recovery=100 * MS)) == []
    assert script.broken(Limits(recovery=50 * MS)) == ["C10"]


def test_slack_is_the_claim_less_the_true_age_of_what_is_missing(script: Script) -> None:
    script.put(0, "k", 1, 100)
    script.put(50, "k", 2, 101)
    script.read(61, ("k", 1, 100), claim=40)
    script.read(71, ("k", 2, 101), claim=5)
    measured = [(one.true // MS, one.excess // MS, one.quiet) for one in slacks(facts_of(script.history))]
    assert measured == [(10, 30, True), (0, 5, True)]
    assert script.broken(Limits(slack=30 * MS)) == []
    assert script.broken(Limits(slack=29 * MS)) == ["C11"]


def test_looseness_counts_only_while_no_fault_acts(script: Script) -> None:
    outage(script, None)
    limits = Limits(recovery=10**12, slack=50 * MS)
    loose = script.history.events[0].at // MS
    assert loose == 0
    script.event(FaultStarted(400 * MS, 2, "pause", "replica"))
    script.read(410, claim=400)
    script.event(FaultEnded(420 * MS, 2))
    script.read(430, claim=400)
    assert script.broken(limits) == []
    script.event(Healed(440 * MS))
    script.read(450, claim=400)
    assert script.broken(limits) == ["C11"]


def test_what_was_promised_to_be_complete_gets_no_more_rows(script: Script) -> None:
    script.put(0, "k", 1, 100, created=1000)
    script.read(10, ("k", 1, 100), shape=HISTORY, complete_before=2000)
    script.put(20, "k", 2, 101, created=2000)
    script.read(30, ("k", 1, 100), ("k", 2, 101), shape=HISTORY)
    assert script.broken() == []
    script.put(40, "k", 3, 102, created=1999)
    script.read(50, ("k", 1, 100), ("k", 2, 101), ("k", 3, 102), shape=HISTORY)
    assert script.broken() == ["C12"]


def test_what_a_failover_lost_is_excluded_where_the_answer_says_so_and_shown_by_no_claim(script: Script) -> None:
    script.put(0, "k", 1, 100)
    lost = script.put(10, "k", 2, 101)
    script.event(WritesLost(20 * MS, (lost,), 2))
    script.read(30, ("k", 1, 100), epoch=2, excludes_loss=True)
    script.read(32, ("k", 2, 101), epoch=1)
    assert script.broken() == []
    script.read(40, ("k", 1, 100), epoch=2)
    script.read(42, ("k", 2, 101), epoch=2, excludes_loss=True)
    assert script.broken() == ["C1", "C2"]


def test_stamps_that_go_back_are_refused(script: Script) -> None:
    script.put(10, "k", 1, 100)
    script.put(5, "k", 2, 101)
    with pytest.raises(ValueError, match="event 2 is stamped before"):
        script.verdict()


def test_refusals_of_a_quiet_system_count_against_the_share_with_a_claim(script: Script) -> None:
    script.put(0, "k", 1, 100)
    script.read(10, ("k", 1, 100))
    script.event(ReadRefused(21 * MS, script.ask(20, "k"), "TOO_STALE", True))
    script.event(ReadRefused(31 * MS, script.ask(30, "k"), "UNAVAILABLE", False))
    script.event(FaultStarted(40 * MS, 1, "kill", "lag-monitor"))
    script.event(ReadRefused(51 * MS, script.ask(50, "k"), "TOO_STALE", True))
    verdict = script.verdict()
    assert (verdict.claimed, verdict.provable) == (1, 2)


def random_history(seed: int, reads: int) -> History:
    """A run of one sequential writer a key and readers whose copy lags by up to 30 ms, all claims true."""
    chance = random.Random(seed)
    script = Script()
    keys = [f"k{number}" for number in range(50)]
    newest: dict[str, list[tuple[int, Seen]]] = {key: [] for key in keys}
    at = 0
    for number in range(reads):
        at += chance.randrange(50_000, 500_000)
        if number % 4 == 0:
            key = chance.choice(keys)
            op = script.history.next_op()
            script.event(WriteSent(at, op, 1, (Item(key, at // 1000, number),)))
            at += chance.randrange(MS)
            script.event(WriteAcknowledged(at, op, f"a1.1.{at:x}"))
            newest[key].append((at, Seen(key, script.history.events[-2].items[0].event_time, number)))  # type: ignore[union-attr,arg-type]
        lag = chance.randrange(30 * MS)
        asked = tuple(chance.sample(keys, 2))
        seen = []
        for key in asked:
            visible = [one for moment, one in newest[key][-40:] if moment <= at - lag]
            seen += visible[-1:]
        op = script.history.next_op()
        script.event(ReadSent(at, op, 1, CURRENT, asked, "dashboard", "wait", SECOND, ("replica",)))
        script.event(ReadAnswered(at, op, "replica", lag + 1, tuple(seen), epoch=1))
    return script.history


def test_random_true_histories_pass_and_a_claim_made_a_little_too_small_fails() -> None:
    for seed in range(20):
        history = random_history(seed, 300)
        assert check(history).violations == []
        facts = facts_of(history)
        late = [read for read in facts.reads.values() if read.missing is not None]
        spoiled = 0
        for read in late:
            assert read.missing is not None
            assert isinstance(read.missing.measure, int)
            assert read.answer is not None
            age = read.sent.at - read.missing.measure
            if age > 0:
                history.events[read.index] = read.answer._replace(claim=age)
                spoiled += 1
        assert [one.check for one in check(history).violations] == ["C1"] * spoiled
        assert spoiled > 0


def test_a_history_comes_back_from_its_file_as_it_was(tmp_path: Path, script: Script) -> None:
    outage(script, 20)
    script.put(400, "k", 1, 100)
    script.read(410, ("k", 1, 100), passed_over=(PassedOver("replica", "too_stale", 5),), source="primary")
    script.event(WritesLost(500 * MS, (1, 2), 2))
    script.event(CopyCounted(500 * MS, "olap", 1, "2026-01-01", 3, "ff"))
    dump(script.history, tmp_path / "run.jsonl")
    again = load(tmp_path / "run.jsonl")
    assert again.events == script.history.events
    assert (again.replay, again.tier, again.seed) == ("make again", "hand", 7)
    (tmp_path / "run.jsonl").write_text('{"version": 99}\n')
    with pytest.raises(ValueError, match="version 99"):
        load(tmp_path / "run.jsonl")


def timed(what: Callable[[], Verdict]) -> tuple[Verdict, float]:
    start = time.perf_counter()
    return what(), time.perf_counter() - start


def test_the_work_of_the_checks_grows_no_faster_than_the_history() -> None:
    small, large = random_history(1, 4_000), random_history(1, 32_000)
    first, one = timed(lambda: check(small))
    second, eight = timed(lambda: check(large))
    assert first.violations == second.violations == []
    # Eight times as much may cost thirty times the time on a busy machine; quadratic work would cost sixty-four.
    assert eight < 30 * one
