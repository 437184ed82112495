"""What a transaction says of slots: one row an entity, the newest by event time, deletes in their place."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas_ingest import validation
from atlas_ingest.decoding import draft_of_deletes, draft_of_rows
from atlaskit.batch import DELETED_AT_US, WriteBatch
from atlaskit.errors import StateForbids
from atlaskit.model import EntityIdentity, RowVersion, Tenant, ValueType
from atlaskit.postgres.dictionaries import Dictionary, Name
from atlaskit.postgres.hot_backfill import mark_of
from atlaskit.postgres.hot_catalogue import HotCatalogue
from atlaskit.postgres.hot_promotion import choose_slot
from atlaskit.postgres.hot_slots import SLOTS, HotMapping, MappingState, covering, still_ready, terms_of
from atlaskit.postgres.hot_values import HotChanges, TenantMappings, Typed, changes_of
from atlaskit.postgres.numbering import numbered_of
from doubles.hot_world import gone, typed

TENANT = Tenant(5, "t", EntityIdentity.NUMBERED, 10, 100, b"k" * 16, datetime(2026, 1, 1, tzinfo=UTC))
PUMP = 3
FIRST = RowVersion(1, 7, 0).packed()
SECOND_US = 1_767_225_600_000_000  # 2026-01-01


def mapping(number: int, attribute: int, slot: str, asset_type: int = PUMP, state: str = "READY") -> HotMapping:
    return HotMapping(number, TENANT.tenant_id, asset_type, attribute, SLOTS[slot], MappingState(state))


A, B = mapping(1, 11, "double_1"), mapping(2, 12, "text_1")
CATALOGUE = {TENANT.tenant_id: TenantMappings.of([A, B])}


def writes(*items: pb2.AttributeWrite) -> WriteBatch:
    said = validation.Request(TENANT, uuid.uuid4(), b"d" * 32, 1, "")
    return validation.checked(draft_of_rows(pb2.RowBatch(writes=items), TENANT.identity), said, datetime.now(UTC))


def deletes(*items: pb2.AttributeDelete) -> WriteBatch:
    said = validation.Request(TENANT, uuid.uuid4(), b"d" * 32, 1, "")
    return validation.checked(draft_of_deletes(items, TENANT.identity), said, datetime.now(UTC))


def said(*batches: WriteBatch, asset_type: int = PUMP, without: Sequence[tuple[int, int]] = ()) -> HotChanges:
    ids = {Name(Dictionary.ATTRIBUTE_KEYS, 5, key): number for key, number in {"a": 11, "b": 12, "c": 13}.items()}
    numbered = numbered_of(1, 7, batches, ids)
    typed_batches = [Typed(one, np.full(len(one.batch.entity_ids), asset_type, np.int64)) for one in numbered]
    return changes_of(typed_batches, CATALOGUE, without)


def test_the_newest_value_by_event_time_is_said_and_the_last_delivery_at_one_time() -> None:
    changes = said(
        writes(typed(1, "a", 1.0, 5), typed(1, "a", 2.0, 9)), writes(typed(1, "a", 3.0, 7), typed(1, "a", 4.0, 9))
    )
    row = changes.written[5, 1]
    assert row.marks == {A.slot: (1, SECOND_US + 9_000_000, FIRST + 3, False, 4.0)}
    assert (row.version, row.erased, changes.erased) == (FIRST + 3, None, {})


def test_attributes_that_are_not_promoted_say_nothing_nor_do_entities_of_other_types() -> None:
    assert said(writes(typed(1, "c", 1.0, 5))) == ({}, {})
    assert said(writes(typed(1, "a", 1.0, 5)), asset_type=4) == ({}, {})
    assert said(writes(typed(1, "a", 1.0, 5)), without=[(5, 1)]) == ({}, {})


@pytest.mark.parametrize("value", ["text", 7, True])
def test_a_value_of_another_type_asks_history(value: str | int | bool) -> None:
    mark = said(writes(typed(1, "a", value, 5))).written[5, 1].marks[A.slot]
    assert (mark.asks, mark.value) == (True, None)


def test_a_text_is_held_up_to_its_limit_in_bytes() -> None:
    row = said(writes(typed(1, "b", "é" * 256, 5), typed(2, "b", "é" * 256 + "x", 5))).written
    assert [row[5, entity].marks[B.slot].asks for entity in (1, 2)] == [False, True]


def test_a_deleted_observation_asks_history_unless_a_later_one_is_there() -> None:
    assert said(writes(typed(1, "a", 1.0, 5)), deletes(gone(1, "a", 5))).written[5, 1].marks[A.slot].asks
    assert said(writes(typed(1, "a", 1.0, 5)), deletes(gone(1, "a", 4))).written[5, 1].marks[A.slot].value == 1.0


def test_a_delete_of_an_attribute_takes_back_what_came_before_and_nothing_that_came_after() -> None:
    changes = said(
        writes(typed(1, "a", 1.0, 5), typed(1, "b", "x", 5)), deletes(gone(1, "a")), writes(typed(1, "a", 2.0, 1))
    )
    assert changes.erased[5, 1].marks == {A.slot: (1, DELETED_AT_US, FIRST + 2, True, None)}
    assert changes.erased[5, 1].erased == FIRST + 2
    assert {slot: mark.value for slot, mark in changes.written[5, 1].marks.items()} == {A.slot: 2.0, B.slot: "x"}
    # Two updates of one row in one transaction need two row versions.
    assert changes.erased[5, 1].version != changes.written[5, 1].version


def test_a_delete_of_an_entity_takes_back_all_its_slots() -> None:
    changes = said(writes(typed(1, "a", 1.0, 5), typed(1, "b", "x", 5)), deletes(gone(1)))
    assert set(changes.erased[5, 1].marks) == {A.slot, B.slot}
    assert changes.written == {}


def test_a_retired_mapping_is_not_kept() -> None:
    assert not TenantMappings.of([mapping(1, 11, "double_1", state="RETIRED")])
    assert TenantMappings.of([mapping(1, 11, "double_1", state="BACKFILLING")])


TOP = {"time_us": 9, "row_version": 50, "deletion": 0, "value_type": 3, "value_double": 2.5, "floor": None}


@pytest.mark.parametrize(
    ("top", "mark"),
    [
        (TOP, (1, 9, 50, False, 2.5)),
        ({**TOP, "floor": 49}, (1, 9, 50, False, 2.5)),
        ({**TOP, "floor": 51}, (1, 9, 51, True, None)),  # hidden: whatever is below is hidden as well
        ({**TOP, "deletion": 1, "value_type": 0, "value_double": None}, (1, 9, 50, True, None)),
        ({**TOP, "value_type": 5, "value_text": "x"}, (1, 9, 50, True, None)),
        ({**TOP, "value_type": 5, "value_text": None}, (1, 9, 50, True, None)),  # too long
        ({**TOP, "value_type": 6}, (1, 9, 50, True, None)),
        ({**TOP, "row_version": None, "floor": 51, "value_type": None}, (1, DELETED_AT_US, 51, True, None)),
    ],
)
def test_a_backfill_says_what_is_newest_or_that_only_history_knows(
    top: dict[str, object], mark: tuple[object, ...]
) -> None:
    assert mark_of(A, top) == mark


def test_the_catalogue_is_known_at_its_number_and_forgotten_at_a_greater_one() -> None:
    catalogue, held = HotCatalogue(limit=2), TenantMappings.of([A])
    assert catalogue.of(1, 5) is None
    catalogue.look(1, {5: 3, 6: 0})
    catalogue.put(1, {5: 3}, {5: held})
    assert catalogue.of(1, 5) is held
    catalogue.look(1, {5: 2})  # an older transaction opened late
    assert catalogue.of(1, 5) is held
    catalogue.look(1, {5: 4})
    assert catalogue.of(1, 5) is None
    catalogue.look(2, {5: 3})
    assert catalogue.of(2, 5) is None
    assert catalogue.of(1, 5) is None


def test_a_slot_is_given_once_in_an_asset_type_and_within_the_budget() -> None:
    held = [mapping(n, n, f"double_{n}") for n in range(1, 6)]
    assert choose_slot(held, PUMP, ValueType.DOUBLE, 10).name == "double_6"
    assert choose_slot(held, 4, ValueType.DOUBLE, 10).name == "double_1"
    full = [*held, mapping(6, 6, "double_6")]
    with pytest.raises(StateForbids) as slots:
        choose_slot(full, PUMP, ValueType.DOUBLE, 10)
    with pytest.raises(StateForbids) as budget:
        choose_slot(held, PUMP, ValueType.DOUBLE, 5)
    assert (slots.value.reason, budget.value.reason) == ("HOT_SLOTS_FULL", "HOT_BUDGET_EXCEEDED")


def test_slots_serve_asset_types_that_all_have_the_mapping_ready() -> None:
    other = mapping(3, 11, "double_2", asset_type=4)
    assert covering([A, B, other], 11, [4, PUMP]) == [A, other]
    assert covering([A, B, other], 11, [4, PUMP, 5]) is None
    assert covering([A, other._replace(state=MappingState.BACKFILLING)], 11, [4]) is None
    assert covering([A], 11, []) is None


def test_terms_of_a_slot_name_its_mapping_and_the_closed_set_only() -> None:
    terms = terms_of(A, "hot")
    assert terms.known == "(hot.double_1_mapping = 1 AND NOT hot.double_1_deleted)"
    assert terms.asks == "(hot.double_1_mapping = 1 AND hot.double_1_deleted)"
    assert (terms.value, terms.event_time) == ("hot.double_1", "hot.double_1_time")
    assert still_ready([B, A, A]).endswith("IN (1, 2) AND state = 'READY') = 2")
    assert still_ready([]) == "true"
