"""What is remembered with an offset, and where a start begins."""

from __future__ import annotations

from uuid import uuid4

from atlas_olap_sink.advance import Progress
from atlas_olap_sink.checkpoint import NOTHING, Checkpoint, Mark, advanced, beyond_doubt, decoded
from atlas_olap_sink.start import again, remembered, starting
from atlaskit.kafka.consumer import Commit, Extent

NOW = 1_000_000
MONITOR = uuid4()


def test_a_checkpoint_fits_and_comes_back() -> None:
    kept = NOTHING
    for second in range(4000):
        kept = advanced(kept, {uuid4(): 2**62 for _ in range(8)}, 2**62 + second, NOW + second)
    assert decoded(kept.encoded()) == kept
    assert len(kept.encoded()) < 1600
    assert beyond_doubt(kept).marks


def test_metadata_of_another_kind_knows_nothing() -> None:
    assert [decoded(text) for text in ("", "{}", "null", '{"version":2}')] == [NOTHING] * 4


def test_only_a_place_older_than_the_doubt_is_read_from() -> None:
    marks = (Mark(5, NOW - 900), Mark(9, NOW - 600), Mark(12, NOW - 599))
    assert beyond_doubt(Checkpoint({}, marks, NOW)).marks == (Mark(9, NOW - 600),)
    assert beyond_doubt(Checkpoint({}, marks[2:], NOW)).marks == ()


def commit(offset: int, *marks: Mark) -> Commit:
    return Commit(offset, Checkpoint({MONITOR: 3}, marks, NOW).encoded())


def start(found: Commit | None, extent: Extent, *, proven: bool = False, stored: bool = True) -> Progress:
    return starting(found, remembered(found, proven=proven, stored=stored), extent, proven=proven)


OLD, YOUNG = Mark(20, NOW - 700), Mark(40, NOW - 5)


def test_a_proven_place_goes_on_at_its_commit() -> None:
    place = start(commit(50, OLD), Extent(0, 90), proven=True)
    assert (place.position, place.resume, place.frozen) == (50, 50, None)


def test_a_restarted_engine_is_given_again_what_it_may_have_lost() -> None:
    place = start(commit(50, OLD, YOUNG), Extent(0, 90))
    assert (place.position, place.resume) == (20, 50)


def test_places_younger_than_the_doubt_are_forgotten_when_rows_are_inserted_again() -> None:
    kept = remembered(commit(50, OLD, YOUNG), proven=False, stored=True)
    assert kept == Checkpoint({MONITOR: 3}, (OLD,), NOW)
    assert remembered(commit(50, OLD, YOUNG), proven=True, stored=True).marks == (OLD, YOUNG)


def test_an_engine_without_data_is_given_everything_again() -> None:
    place = start(commit(50, OLD), Extent(0, 90), stored=False)
    assert (place.position, place.resume) == (0, 50)


def test_what_kafka_no_longer_has_freezes() -> None:
    assert start(commit(50, OLD), Extent(30, 90)).frozen is not None
    assert start(None, Extent(30, 90), stored=False).frozen is not None
    running = start(commit(50), Extent(0, 90), proven=True)
    assert again(running, Checkpoint({}, (OLD,), NOW), Extent(30, 90)).frozen is not None


def test_a_topic_that_went_back_freezes() -> None:
    assert start(commit(50), Extent(0, 40), proven=True).frozen is not None
