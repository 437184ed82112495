"""When a consumer of Kafka counts as one that hears nothing more."""

from __future__ import annotations

import pytest
from atlas_olap_sink.hearing import Deaf, Hearing
from atlaskit.kafka.consumer import Extent, Partition

A, B = Partition("t", 0), Partition("t", 1)


def held(a: int, b: int = 0) -> dict[Partition, Extent]:
    return {A: Extent(0, a), B: Extent(0, b)}


def test_quiet_partitions_are_quiet_and_no_fault_of_the_consumer() -> None:
    hearing = Hearing(20.0, 100.0)
    assert not hearing.nothing(119.9)
    assert hearing.nothing(120.0)
    hearing.compare(120.0, held(7))
    assert not hearing.nothing(139.0)
    assert hearing.nothing(140.0)
    hearing.compare(140.0, held(7))


def test_a_partition_that_grows_while_nothing_comes_is_not_heard() -> None:
    hearing = Hearing(20.0, 100.0)
    hearing.compare(120.0, held(7, 3))
    with pytest.raises(Deaf, match="20 s while the partitions grew"):
        hearing.compare(140.0, held(7, 4))


def test_what_came_between_two_comparisons_was_heard() -> None:
    hearing = Hearing(20.0, 100.0)
    hearing.compare(120.0, held(7))
    hearing.heard(121.0)
    assert not hearing.nothing(140.0)
    hearing.compare(141.0, held(9))


def test_a_read_after_a_long_insert_is_a_first_one_only() -> None:
    # The process was busy for an hour; that nothing came meanwhile says nothing.
    hearing = Hearing(20.0, 100.0)
    assert hearing.nothing(3_700.0)
    hearing.compare(3_700.0, held(1_000))
    hearing.failed(7_200.0, OSError("reset"))


def test_reads_that_fail_for_the_whole_limit_replace_the_consumer_and_one_that_succeeds_does_not() -> None:
    hearing = Hearing(20.0, 100.0)
    hearing.failed(100.0, OSError("reset"))
    hearing.failed(119.0, OSError("reset"))
    hearing.nothing(119.5)
    hearing.failed(121.0, OSError("reset"))
    with pytest.raises(Deaf, match="because: gone"):
        hearing.failed(141.0, OSError("gone"))


def test_a_consumer_that_is_not_even_told_what_the_partitions_hold_is_replaced() -> None:
    # As after a broker's death: every later request of one driver timed out, those of others did not.
    hearing = Hearing(20.0, 100.0)
    assert hearing.nothing(120.0)
    with pytest.raises(Deaf, match="is not told: no answer"):
        hearing.unanswered(OSError("no answer"))
