"""What is kept of a partition, and where a start begins with it."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from atlas_olap_sink.advance import read_on
from atlas_olap_sink.keeping import kept_of, proven_writers
from atlas_olap_sink.ledger import Basis
from atlas_olap_sink.start import Known, basis_of, starting
from atlas_olap_sink.state import Mark, Repair, State, beyond_doubt, decoded, in_doubt, marked
from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.cdc.intervals import Intervals
from atlaskit.kafka.consumer import Extent, Partition

NOW = 1_000_000
LIFE = uuid4()
STATE = State(
    offset=100,
    at=NOW,
    incarnation=LIFE,
    seen={uuid4(): 7},
    ledger=Basis(50, {1 << 48 | 3: 9}, Intervals([(1, 5), (7, 9)]), {uuid4(): 7}, 1, {2: 4}),
    marks=(Mark(20, NOW - 700), Mark(40, NOW - 5)),
    repairs=(Repair(8, NOW - 700), Repair(None, NOW - 5)),
)
LEDGER = Extent(0, 60)


def known(state: State | None = STATE, *, begin: int = 0, proven: bool = True, stored: bool = True) -> Known:
    return Known(state, Extent(begin, 200), proven=proven, stored=stored)


def test_a_state_comes_back_as_it_was() -> None:
    assert decoded(STATE.encoded()) == STATE


def test_a_state_of_another_kind_is_none() -> None:
    assert [decoded(text) for text in (b"", b"{}", b"null", b'{"version":1}')] == [None] * 4


def test_marks_stay_few_and_one_is_beyond_doubt() -> None:
    marks: tuple[Mark, ...] = ()
    for second in range(4000):
        marks = marked(marks, second, NOW + second)
    assert len(marks) < 25
    assert beyond_doubt(marks, NOW + 4000) is not None
    assert marks[-1].offset > 3900


def test_only_a_place_older_than_the_doubt_is_read_from() -> None:
    marks = (Mark(5, NOW - 900), Mark(9, NOW - 600), Mark(12, NOW - 599))
    assert beyond_doubt(marks, NOW) == 9
    assert beyond_doubt(marks[2:], NOW) is None


def test_a_proven_partition_goes_on_where_it_was() -> None:
    progress = starting(known(), told=False)
    assert (progress.position, progress.resume, progress.owes) == (100, 100, None)


def test_a_restarted_server_gets_the_rows_in_doubt_again_before_anything_is_claimed() -> None:
    without_snapshot = replace(STATE, repairs=STATE.repairs[:1])
    progress = starting(known(without_snapshot, proven=False), told=False)
    assert (progress.position, progress.resume, progress.owes) == (20, 100, None)


def test_a_restarted_server_gets_a_snapshot_in_doubt_again_before_anything_is_claimed() -> None:
    progress = starting(known(proven=False), told=False)
    assert (progress.position, progress.resume) == (20, 100)
    assert progress.owes is not None
    sure = replace(STATE, repairs=(Repair(None, NOW - 700),))
    assert starting(known(sure, proven=False), told=False).owes is None
    assert starting(known(), told=False).owes is None


def test_rows_in_doubt_that_kafka_no_longer_has_are_owed_as_a_snapshot() -> None:
    assert starting(known(begin=30, proven=False), told=False).owes is not None
    assert starting(known(begin=30), told=False).owes is None


def test_rows_in_doubt_before_a_state_that_kafka_no_longer_reaches_are_owed_as_a_snapshot() -> None:
    for extent in (Extent(101, 200), Extent(0, 99)):
        assert starting(replace(known(proven=False), extent=extent), told=False).owes is not None
        assert starting(replace(known(), extent=extent), told=False).owes is None


@pytest.mark.parametrize(("offset", "number", "owes"), [(99, 7, False), (99, 8, True), (98, 7, True), (None, 0, True)])
def test_what_is_read_again_has_the_beat_where_it_was_or_kafka_lost_the_end_and_filled_it_anew(
    offset: int | None, number: int, owes: bool
) -> None:
    [monitor] = STATE.seen
    beats = () if offset is None else (ArrivedBeat(monitor, number, 1, 1, 0, offset, {}),)
    begun = starting(known(replace(STATE, repairs=()), proven=False), told=False)
    half = read_on(begun, 60, ())
    assert (half.position, half.owes) == (60, None)
    whole = read_on(half, 120, beats)
    assert (whole.position, whole.owes is not None) == (120, owes)
    assert read_on(whole, 130, ()).owes == whole.owes  # asked once


def test_a_server_without_any_data_begins_anew() -> None:
    progress = starting(known(proven=False, stored=False), told=False)
    assert (progress.position, progress.resume) == (0, 0)


def test_the_ledger_begins_with_the_earliest_partition() -> None:
    later = replace(STATE, ledger=replace(STATE.ledger, offset=55))
    assert basis_of([known(), known(later)], LEDGER) == STATE.ledger
    assert basis_of([known(), known(None)], LEDGER) == Basis()


def test_a_ledger_that_kafka_no_longer_has_is_told_by_the_primary_and_every_shard_owes_a_snapshot() -> None:
    assert basis_of([known()], Extent(51, 60)) is None
    assert basis_of([known()], Extent(0, 49)) is None
    assert starting(known(), told=True).owes is not None
    assert starting(known(None), told=True).owes is not None


def test_what_was_inserted_again_is_as_young_as_its_repetition() -> None:
    same = kept_of(STATE, proven=True, incarnation=LIFE, now=NOW + 60)
    assert (same.marks, same.repairs) == (STATE.marks, STATE.repairs)
    other = kept_of(STATE, proven=True, incarnation=uuid4(), now=NOW + 60)
    assert other.marks == STATE.marks[:1]
    assert other.repairs == (Repair(None, NOW + 60),)
    owing = kept_of(STATE, proven=False, incarnation=uuid4(), now=NOW + 60)
    assert (owing.marks, owing.repairs) == (STATE.marks[:1], ())


def test_a_repair_is_in_doubt_for_as_long_as_a_restart_may_lose_it() -> None:
    assert in_doubt(STATE.repairs, NOW) == (Repair(None, NOW - 5),)


def test_a_writer_is_proven_by_the_partition_that_is_furthest_behind() -> None:
    one, other = Partition("atlas.entities", 0), Partition("atlas.entities", 1)
    behind = replace(STATE, ledger=replace(STATE.ledger, offset=9, writers={5: 2}))
    assert proven_writers({one: STATE, other: behind}, [one, other]) == {5: 2}
    assert proven_writers({one: STATE}, [one, other]) == {}
