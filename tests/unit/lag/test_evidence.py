"""What the monitor may claim: only what was asked for, answered, and not withdrawn since."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from atlas_lag_monitor.evidence import Evidence, Poll, unsafe
from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import Beat
from atlaskit.freshness.reading import PrimaryMode
from atlaskit.model import Source
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.probes import PrimaryLook

HERE = SourceIdentity(7_000_000_000_000_000_001, 1)
PROMOTED = replace(HERE, timeline=2)
MONITOR = UUID(int=5)
GOOD = PrimaryLook(False, HERE, Lsn(100), "on", True, True)


def at(milliseconds: float) -> BootInstant:
    return BootInstant(int(milliseconds * 1_000_000))


def look(lsn: int, **changes: object) -> PrimaryLook:
    return replace(replace(GOOD, flushed=Lsn(lsn)), **changes)  # type: ignore[arg-type]


def evidence(mode: PrimaryMode = PrimaryMode.SINGLE) -> Evidence:
    known = Evidence(MONITOR, mode)
    known.saw_primary(known.generation, at(10), look(100))
    known.registered(HERE, 1)
    known.beat_committed(known.generation, HERE, Beat(1, at(20), Lsn(100)))
    known.saw_primary(known.generation, at(30), look(120))
    return known


def test_a_reading_holds_fences_and_beats_newest_first_as_ages() -> None:
    reading = evidence().reading(at(40))
    assert [(fence.lsn.bytes, fence.age) for fence in reading.fences] == [
        (120, timedelta(milliseconds=10)),
        (100, timedelta(milliseconds=30)),
    ]
    assert [(beat.number, beat.age) for beat in reading.beats] == [(1, timedelta(milliseconds=20))]
    assert (reading.identity, reading.epoch, reading.monitor_id) == (HERE, 1, str(MONITOR))


def test_an_age_is_rounded_up_to_a_microsecond() -> None:
    reading = evidence().reading(BootInstant(at(40).nanoseconds + 1))
    assert reading.fences[0].age == timedelta(milliseconds=10, microseconds=1)


def test_without_new_answers_ages_grow_and_nothing_new_is_claimed() -> None:
    known = evidence()
    known.tell("primary", "did not answer in time")
    reading = known.reading(at(10_000))
    assert reading.fences[0].age == timedelta(milliseconds=9_970)
    primary = reading.copies[Source.PRIMARY]
    assert not primary.reachable
    assert "did not answer" in primary.problem


def test_nothing_is_claimed_before_the_primary_was_seen() -> None:
    reading = Evidence(MONITOR, PrimaryMode.SINGLE).reading(at(1))
    assert (reading.identity, reading.epoch, reading.fences, reading.beats) == (None, None, (), ())
    assert reading.copies[Source.PRIMARY].lag is None


@pytest.mark.parametrize("other", [PROMOTED, SourceIdentity(9, 1)])
def test_another_identity_drops_fences_beats_and_epoch(other: SourceIdentity) -> None:
    known = evidence()
    known.primary_acknowledged(known.generation, HERE, at(35))
    known.saw_primary(known.generation, at(50), look(90, identity=other))
    reading = known.reading(at(60))
    assert (reading.identity, reading.epoch, reading.beats, reading.primary_beat_age) == (other, None, (), None)
    assert [fence.lsn.bytes for fence in reading.fences] == [90]


@pytest.mark.parametrize(
    "changes",
    [
        {"fsync": False},
        {"full_page_writes": False},
        {"synchronous_commit": "off"},
        {"synchronous_commit_elsewhere": ("on", "off")},
        {"in_recovery": True, "identity": None, "flushed": None},
    ],
)
def test_a_server_whose_acknowledgement_is_no_promise_proves_nothing(changes: dict[str, object]) -> None:
    known = evidence()
    known.saw_primary(known.generation, at(50), look(130, **changes))
    reading = known.reading(at(60))
    assert (reading.identity, reading.fences, reading.beats) == (None, (), ())
    assert reading.copies[Source.PRIMARY].problem


@pytest.mark.parametrize(
    ("changes", "safe"),
    [
        ({}, True),
        ({"synchronous_commit": "remote_apply"}, True),
        ({"synchronous_commit": "local"}, False),
        ({"synchronous_commit": "remote_write"}, False),
        ({"synchronous_commit_elsewhere": ("local",)}, False),
        ({"synchronous_commit_elsewhere": ("remote_apply",)}, True),
        ({"has_synchronous_standbys": False}, False),
    ],
)
def test_mode_quorum_needs_commits_that_wait_for_standbys(changes: dict[str, object], safe: bool) -> None:
    assert (unsafe(look(1, **changes), PrimaryMode.QUORUM) == "") is safe
    assert unsafe(look(1, **changes), PrimaryMode.SINGLE) == ""


def test_a_log_that_became_shorter_under_the_same_name_proves_nothing_until_it_is_on_a_new_timeline() -> None:
    known = evidence()
    known.saw_primary(known.generation, at(50), look(110))
    for step, lsn in enumerate((110, 120, 5000)):  # also once it has outgrown what it was
        known.saw_primary(known.generation, at(60 + step), look(lsn))
        known.registered(HERE, 1)
        reading = known.reading(at(70))
        assert (reading.identity, reading.epoch, reading.fences, reading.beats) == (None, None, (), ())
        assert "new timeline" in reading.copies[Source.PRIMARY].problem
    assert "became shorter" in known.withdrawn[HERE]
    known.saw_primary(known.generation, at(80), look(6000, identity=PROMOTED))
    assert [fence.lsn.bytes for fence in known.reading(at(90)).fences] == [6000]


def test_a_beat_below_the_one_before_withdraws_the_timeline_too() -> None:
    known = evidence()
    known.beat_committed(known.generation, HERE, Beat(2, at(50), Lsn(99)))
    assert HERE in known.withdrawn
    assert known.reading(at(60)).fences == ()


def test_a_broken_change_stream_proves_no_beat_until_it_is_another_one() -> None:
    known = evidence()
    known.saw_change_stream(1, "")
    known.beat_committed(known.generation, HERE, Beat(2, at(50), Lsn(130)))
    assert [beat.number for beat in known.reading(at(60)).beats] == [2]  # beats of before there was one do not count
    known.saw_change_stream(1, "its replication slot is gone")
    reading = known.reading(at(60))
    assert reading.beats == ()
    assert reading.fences
    assert reading.copies[Source.PRIMARY].reachable
    assert "gone" in reading.copies[Source.PRIMARY].problem
    known.saw_change_stream(2, "")
    assert known.reading(at(60)).beats == ()
    known.beat_committed(known.generation, HERE, Beat(3, at(70), Lsn(140)))
    assert [beat.number for beat in known.reading(at(80)).beats] == [3]


def test_a_reading_tells_the_ancestors_of_its_epoch_and_of_no_other() -> None:
    known = evidence()
    known.registered(HERE, 1, {})
    known.saw_primary(known.generation, at(50), look(130, identity=PROMOTED))
    known.registered(HERE, 1, {9: Lsn(9)})  # late
    assert known.reading(at(60)).ancestors == {}
    known.registered(PROMOTED, 2, {1: Lsn(125)})
    assert known.reading(at(60)).ancestors == {1: Lsn(125)}
    known.registered(PROMOTED, None)
    assert known.reading(at(60)).ancestors == {}


def test_after_a_drop_answers_to_older_questions_are_not_taken() -> None:
    known = evidence()
    asked_in = known.generation
    known.drop()
    known.saw_primary(asked_in, at(50), look(130))
    known.beat_committed(asked_in, HERE, Beat(2, at(50), Lsn(130)))
    known.primary_acknowledged(asked_in, HERE, at(50))
    reading = known.reading(at(60))
    assert (reading.fences, reading.beats, reading.primary_beat_age) == ((), (), None)
    assert reading.identity == HERE


def test_a_beat_of_another_timeline_is_not_taken() -> None:
    known = evidence()
    known.beat_committed(known.generation, PROMOTED, Beat(2, at(50), Lsn(130)))
    assert [beat.number for beat in known.reading(at(60)).beats] == [1]


def test_a_withdrawn_epoch_takes_its_beats_with_it() -> None:
    known = evidence()
    known.registered(HERE, None)
    reading = known.reading(at(60))
    assert (reading.epoch, reading.beats) == (None, ())


def test_in_mode_quorum_nothing_is_usable_before_a_primary_beat_stamped_at_or_after_it() -> None:
    known = evidence(PrimaryMode.QUORUM)
    assert known.reading(at(40)).fences == ()
    known.primary_acknowledged(known.generation, HERE, at(20))
    reading = known.reading(at(40))
    assert [fence.lsn.bytes for fence in reading.fences] == [100]
    assert [beat.number for beat in reading.beats] == [1]
    known.primary_acknowledged(known.generation, HERE, at(30))
    assert [fence.lsn.bytes for fence in known.reading(at(40)).fences] == [120, 100]
    assert [fence.lsn.bytes for fence in known.fences()] == [120, 100]


def test_in_mode_quorum_an_acknowledgement_of_another_timeline_makes_nothing_usable() -> None:
    known = evidence(PrimaryMode.QUORUM)
    known.primary_acknowledged(known.generation, PROMOTED, at(35))
    assert known.reading(at(40)).fences == ()


def test_an_unknown_lag_is_none_and_a_known_one_grows_until_the_next_poll() -> None:
    known = evidence()
    known.polled(Source.REPLICA, Poll(reachable=True, covered=at(10)))
    known.polled(Source.OLAP, Poll(reachable=False, problem="no answer"))
    copies = known.reading(at(40)).copies
    assert copies[Source.REPLICA].lag == timedelta(milliseconds=30)
    assert copies[Source.OLAP].lag is None
    assert known.reading(at(140)).copies[Source.REPLICA].lag == timedelta(milliseconds=130)


def test_a_reading_holds_at_most_64_of_each() -> None:
    known = evidence()
    for number in range(1, 2000):
        known.saw_primary(known.generation, at(30 + number * 20), look(120 + number))
        known.beat_committed(known.generation, HERE, Beat(1 + number, at(30 + number * 20), Lsn(120 + number)))
    reading = known.reading(at(100_000))
    assert len(reading.fences) <= 64
    assert len(reading.beats) <= 64
    assert reading.fences[0].lsn == Lsn(120 + 1999)
