"""What the monitor shows of its board: what is unknown is absent, and said to be unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from atlas_lag_monitor.evidence import SLOT_LIMIT, Evidence
from atlas_lag_monitor.metrics import beat_age, known, missing_bytes, reachable, staleness
from atlaskit.clock import BootInstant
from atlaskit.freshness.reading import AgedBeat, CopyLag, PrimaryMode, Reading
from atlaskit.model import Source
from atlaskit.position import Lsn

COPIES = (Source.PRIMARY, Source.REPLICA, Source.OLAP)
READING = Reading(
    beats=(AgedBeat(7, Lsn(90), timedelta(milliseconds=120)), AgedBeat(6, Lsn(80), timedelta(seconds=9))),
    copies={
        Source.PRIMARY: CopyLag(timedelta(milliseconds=20), reachable=True),
        Source.REPLICA: CopyLag(None, reachable=True, problem="streams another timeline", lag_bytes=0),
    },
)


def at(seconds: float) -> BootInstant:
    return BootInstant(int(seconds * 1e9))


def test_a_copy_of_unknown_staleness_has_none_and_is_said_to_be_unknown() -> None:
    assert staleness(READING) == {("primary",): 0.02}
    assert known(READING, COPIES) == {("primary",): 1, ("replica",): 0, ("olap",): 0}


def test_a_copy_that_was_never_asked_is_not_reachable_and_lacks_an_unknown_number_of_bytes() -> None:
    assert reachable(READING, COPIES) == {("primary",): 1, ("replica",): 1, ("olap",): 0}
    assert missing_bytes(READING) == {("replica",): 0}


def test_a_copy_that_there_is_not_has_no_figure_at_all() -> None:
    assert set(known(READING, (Source.PRIMARY, Source.OLAP))) == {("primary",), ("olap",)}


def test_the_age_of_the_newest_beat_is_absent_while_there_is_none() -> None:
    assert beat_age(READING) == {(): 0.12}
    assert beat_age(replace(READING, beats=())) == {}


def test_what_was_seen_of_the_slot_is_unknown_again_after_a_while_without_a_slot_and_after_a_suspend() -> None:
    evidence = Evidence(UUID(int=1), PrimaryMode.SINGLE)
    assert evidence.slot_lag(at(0)) is evidence.held_back(at(0)) is None
    evidence.saw_slots(at(1), 4096, 77)
    assert (evidence.slot_lag(at(2)), evidence.held_back(at(2))) == (4096, 77)
    late = at(1.1 + SLOT_LIMIT.total_seconds())
    assert evidence.slot_lag(late) is evidence.held_back(late) is None
    evidence.saw_slots(at(20), None, 78)  # another slot than that of the change stream
    assert (evidence.slot_lag(at(20)), evidence.held_back(at(20))) == (None, 78)
    evidence.saw_slots(at(30), 0, 0)
    evidence.drop()
    assert evidence.slot_lag(at(30)) is evidence.held_back(at(30)) is None
