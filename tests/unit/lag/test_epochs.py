"""Numbers of epochs: never given twice, whoever forgot what."""

from __future__ import annotations

import pytest
from atlas_lag_monitor.epochs import GREATEST, EpochsUsedUp, ancestors_of, number_for, owner_of, withdrawn_in
from atlaskit.kafka.epochs import EpochRecord
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.epochs import RegisteredEpoch, forks_of
from hypothesis import given
from hypothesis import strategies as st

HERE = SourceIdentity(7, 1)
OTHER = SourceIdentity(8, 1)

identities = st.builds(SourceIdentity, st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**31 - 1))
records = st.builds(EpochRecord, st.integers(1, 200), identities)


def test_the_first_epoch_is_one() -> None:
    assert number_for(HERE, [], {}, 0) == 1


def test_the_first_record_with_a_number_owns_it() -> None:
    both = [EpochRecord(1, OTHER), EpochRecord(1, HERE)]
    assert owner_of(both, 1) == OTHER
    assert owner_of(both, 2) is None
    assert number_for(HERE, both, {}, 0) == 2


def test_a_number_claimed_before_a_crash_is_used_after_it() -> None:
    assert number_for(HERE, [EpochRecord(1, OTHER), EpochRecord(2, HERE)], {OTHER: 1}, 1) == 2


def test_a_claimed_number_that_a_store_has_passed_is_not_used() -> None:
    assert number_for(HERE, [EpochRecord(2, HERE)], {}, 2) == 3


@given(st.lists(records, max_size=8), st.dictionaries(identities, st.integers(1, 200), max_size=5), st.integers(0, 200))
def test_a_number_is_above_every_stored_one_and_nobody_elses(
    topic: list[EpochRecord], registered: dict[SourceIdentity, int], olap: int
) -> None:
    number = number_for(HERE, topic, registered, olap)
    assert number > max((*registered.values(), olap), default=0)
    assert owner_of(topic, number) in (None, HERE)


@pytest.mark.parametrize(
    ("topic", "registered", "olap"),
    [([EpochRecord(GREATEST, OTHER)], {}, 0), ([], {OTHER: GREATEST}, 0), ([], {}, GREATEST)],
)
def test_no_number_is_given_when_all_are_used_up(
    topic: list[EpochRecord], registered: dict[SourceIdentity, int], olap: int
) -> None:
    with pytest.raises(EpochsUsedUp):
        number_for(HERE, topic, registered, olap)


@given(records)
def test_a_record_survives_its_way_through_the_topic(record: EpochRecord) -> None:
    assert EpochRecord.decoded(record.encoded()) == record


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"epoch": "x"}', b"null", b"\xff"])
def test_what_is_no_record_is_not_taken_for_one(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        EpochRecord.decoded(text)


HISTORY = """1\t0/3000060\tno recovery target specified

2\t1/A0\tbefore 2026-01-01 00:00:00+00
"""


def test_a_history_file_tells_where_each_timeline_before_ends() -> None:
    assert forks_of(HISTORY) == {1: Lsn(0x3000060), 2: Lsn((1 << 32) + 0xA0)}
    assert forks_of("") == {}


def test_ancestors_are_the_registered_epochs_of_the_history_and_no_withdrawn_one() -> None:
    third = SourceIdentity(7, 3)
    registered = {
        HERE: RegisteredEpoch(4),
        SourceIdentity(7, 2): RegisteredEpoch(5, withdrawn="became shorter"),
        third: RegisteredEpoch(6),
        SourceIdentity(8, 1): RegisteredEpoch(1),
    }
    assert ancestors_of(third, forks_of(HISTORY), registered) == {4: Lsn(0x3000060)}
    assert ancestors_of(third, None, registered) == {}


def test_a_restored_sibling_is_no_ancestor() -> None:
    # Timeline 3 was restored from a backup of timeline 1: what was written on timeline 2 is not in it.
    third = SourceIdentity(7, 3)
    registered = {HERE: RegisteredEpoch(1), SourceIdentity(7, 2): RegisteredEpoch(2), third: RegisteredEpoch(3)}
    assert ancestors_of(third, {1: Lsn(50)}, registered) == {1: Lsn(50)}


def test_a_withdrawal_in_the_topic_outlives_what_postgresql_remembers() -> None:
    records = [EpochRecord(1, HERE), EpochRecord(1, OTHER, "not its own"), EpochRecord(1, HERE, "became shorter")]
    assert withdrawn_in(records, HERE) == "became shorter"
    assert owner_of(records, 1) == HERE
    assert EpochRecord.decoded(records[2].encoded()) == records[2]
    assert EpochRecord.decoded(records[0].encoded()) == records[0]
