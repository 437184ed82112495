"""What is known of entities is never older than the number of its slot, and is bounded."""

from __future__ import annotations

from atlaskit.postgres.entities import Known
from atlaskit.postgres.known_entities import Entry, KnownEntities

DISK = Known("disk", 7, deleted=False)


def known(limit: int = 10) -> KnownEntities:
    one = KnownEntities(limit)
    one.look(1, {5: 3})
    one.put(1, {5: 3}, {(5, 10): DISK})
    return one


def test_what_was_committed_is_known_at_its_slots_number() -> None:
    assert known().of(1, 5) == {10: Entry("disk", 7)}
    assert known().number_of(5) == 3


def test_a_greater_number_forgets_its_slot_and_no_other() -> None:
    one = known()
    one.look(1, {6: 1})
    one.put(1, {6: 1}, {(6, 1): DISK})
    one.look(1, {5: 4})
    assert (one.of(1, 5), len(one.of(1, 6)), len(one)) == ({}, 1, 1)


def test_tenants_of_one_slot_are_forgotten_together() -> None:
    one = known()
    one.put(1, {5: 3}, {(69, 1): DISK})
    one.look(1, {5: 4})
    assert (one.of(1, 5), one.of(1, 69)) == ({}, {})


def test_what_was_found_at_an_older_number_is_not_remembered() -> None:
    one = known()
    one.look(1, {5: 4})
    one.put(1, {5: 3}, {(5, 10): DISK})
    one.put(1, {}, {(5, 10): DISK})
    assert one.of(1, 5) == {}


def test_an_older_number_forgets_nothing() -> None:
    one = known()
    one.look(1, {5: 2})
    assert len(one.of(1, 5)) == 1


def test_a_deleted_entity_is_not_remembered() -> None:
    one = known()
    one.put(1, {5: 3}, {(5, 11): Known("gone", None, deleted=True)})
    assert list(one.of(1, 5)) == [10]


def test_a_newer_epoch_begins_with_nothing_and_an_older_one_knows_nothing() -> None:
    one = known()
    one.look(2, {5: 3})
    assert (one.of(2, 5), len(one)) == ({}, 0)
    one.put(1, {5: 3}, {(5, 10): DISK})
    assert (one.of(1, 5), one.of(2, 5)) == ({}, {})


def test_no_more_is_known_than_the_limit_and_the_tenants_met_last_stay() -> None:
    one = known(4)
    one.look(1, {6: 0})
    one.put(1, {6: 0}, {(6, number): DISK for number in range(4)})
    assert (one.of(1, 5), len(one.of(1, 6)), len(one)) == ({}, 4, 4)
    one.put(1, {6: 0}, {(6, number): DISK for number in range(4, 7)})
    assert (sorted(one.of(1, 6)), len(one)) == ([3, 4, 5, 6], 4)
