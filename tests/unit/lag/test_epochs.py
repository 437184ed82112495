"""Numbers of epochs: never given twice, whoever forgot what."""

from __future__ import annotations

import pytest
from atlas_lag_monitor.epochs import GREATEST, EpochsUsedUp, number_for, owner_of
from atlaskit.kafka.epochs import EpochRecord
from atlaskit.position import SourceIdentity
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
