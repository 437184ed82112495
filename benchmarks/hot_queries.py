"""Filters with two or three predicates, written by hand for each way of keeping current values."""

# ruff: noqa: S608  # the statements are made of numbers and names of this file; values are parameters

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from atlaskit.model import TypedValue, ValueType
from atlaskit.postgres.hot_slots import SLOTS, HotMapping, MappingState
from atlaskit.postgres.searching import search_statement
from atlaskit.selection.conditions import Operator, passing_tests
from atlaskit.selection.predicates import AllOf, Comparison, OfAssetType
from atlaskit.selection.searches import EntitySearch

from benchmarks.hot_load import ASSET_TYPE, ATTRIBUTES, Drives, Place

PAGE = 100  # entities of one answer, in order of id
_OF = {one.key: one for one in ATTRIBUTES}
_COLUMN = {ValueType.INT64: "value_int", ValueType.STRING: "value_text", ValueType.BOOL: "value_bool"}


class Predicate(NamedTuple):
    """The current value of an attribute compared with a constant."""

    key: str
    operator: str
    value: int | str | bool


class Filter(NamedTuple):
    """Predicates that must all hold. `equal`: all of them are equalities."""

    name: str
    equal: bool
    predicates: Sequence[Predicate]


def filters(drives: Drives, round_: int) -> list[Filter]:
    """Return the filters of a round: selective and not; their constants differ from round to round."""
    share = (round_ % 20) / 2000
    models = sorted(set(drives.models), key=drives.models.count)
    rare, common = models[round_ % (len(models) // 2)], models[-1 - round_ % 3]
    hours, pending = drives.quantile("smart_9_raw", 0.97 + share), drives.quantile("smart_197_raw", 0.985 + share)
    sectors = max(drives.quantile("smart_5_raw", 0.985 + share), 1)
    middle = drives.quantile("smart_9_raw", 0.4 + share)
    selective = [("smart_5_raw", ">=", sectors), ("smart_197_raw", ">=", max(pending, 1)), ("smart_9_raw", "<", hours)]
    ranges: list[tuple[str, list[tuple[str, str, int]]]] = [
        ("ranges, selective", selective),
        ("ranges, most match", [("smart_9_raw", ">=", middle), ("smart_194_raw", ">=", 20)]),
        ("ranges, none match", [("smart_9_raw", ">=", hours), ("smart_194_raw", ">=", 200 + round_)]),
    ]
    equalities: list[tuple[str, dict[str, int | str | bool]]] = [
        ("equality, selective", {"model": rare, "smart_197_raw": 0}),
        ("equality, most match", {"failure": False, "smart_197_raw": 0, "model": common}),
        ("equality, none match", {"model": common, "failure": True, "smart_194_raw": 199 - round_ % 20}),
    ]
    return [
        *(Filter(name, False, [Predicate(*one) for one in said]) for name, said in ranges),
        *(Filter(name, True, [Predicate(key, "=", value) for key, value in said.items()]) for name, said in equalities),
    ]


class Statement(NamedTuple):
    """A statement that returns ids of entities, and its values."""

    text: str
    values: Sequence[Any]


def _current(place: Place, one: Predicate, number: int) -> str:
    # The value that counts: of the newest event time that is not deleted, above the deletes of all of it.
    attribute, column = place.ids[one.key], _COLUMN[_OF[one.key].kind]
    return f"""CROSS JOIN LATERAL (
        SELECT h.{column} AS value FROM entity_attributes AS h
        WHERE h.tenant_id = {place.tenant_id} AND h.entity_id = e.entity_id AND h.attribute_id = {attribute}
            AND h.event_time > '1969-12-31T00:00:00Z' AND h.deletion = 0
            AND h.row_version > coalesce((SELECT max(d.row_version) FROM entity_attributes AS d
                WHERE d.tenant_id = {place.tenant_id} AND d.entity_id = e.entity_id
                    AND d.attribute_id IN (0, {attribute}) AND d.event_time = '1969-12-31T00:00:00Z'), 0)
            AND h.row_version = (SELECT max(d.row_version) FROM entity_attributes AS d
                WHERE d.tenant_id = {place.tenant_id} AND d.entity_id = e.entity_id AND d.attribute_id = {attribute}
                    AND d.event_time = h.event_time)
        ORDER BY h.event_time DESC, h.row_version DESC LIMIT 1
    ) AS v{number}"""


def eav(place: Place, wanted: Filter) -> Statement:
    """Return the filter over the history, entity after entity, by the index that it has."""
    laterals = " ".join(_current(place, one, number) for number, one in enumerate(wanted.predicates, 1))
    holds = " AND ".join(f"v{n}.value {one.operator} ${n}" for n, one in enumerate(wanted.predicates, 1))
    text = (
        f"SELECT e.entity_id FROM entities AS e {laterals} "
        f"WHERE e.tenant_id = {place.tenant_id} AND NOT e.deleted AND {holds} ORDER BY e.entity_id LIMIT {PAGE}"
    )
    return Statement(text, [one.value for one in wanted.predicates])


def eav_by_value(place: Place, wanted: Filter) -> Statement:
    """Return the filter over the history, from an index of values: who ever had them, then who has them now."""
    laterals = " ".join(_current(place, one, number) for number, one in enumerate(wanted.predicates, 1))
    holds = " AND ".join(f"v{n}.value {one.operator} ${n}" for n, one in enumerate(wanted.predicates, 1))
    ever = " INTERSECT ".join(
        f"SELECT h.entity_id FROM entity_attributes AS h WHERE h.tenant_id = {place.tenant_id} "
        f"AND h.attribute_id = {place.ids[one.key]} AND h.{_COLUMN[_OF[one.key].kind]} {one.operator} ${n}"
        for n, one in enumerate(wanted.predicates, 1)
    )
    text = (
        f"SELECT e.entity_id FROM (SELECT entity_id FROM ({ever}) AS ever ORDER BY entity_id) AS e {laterals} "
        f"WHERE {holds} ORDER BY e.entity_id LIMIT {PAGE}"
    )
    return Statement(text, [one.value for one in wanted.predicates])


def slots(place: Place, wanted: Filter) -> Statement:
    """Return the filter over the slots, each guarded by its mapping."""
    holds = " AND ".join(
        f"h.{slot}_mapping = {place.ids[one.key]} AND h.{slot}_deleted = false AND h.{slot} {one.operator} ${n}"
        for n, (one, slot) in enumerate(((one, _OF[one.key].slot) for one in wanted.predicates), 1)
    )
    text = (
        f"SELECT h.entity_id FROM entity_hot_attributes AS h JOIN entities AS e USING (tenant_id, entity_id, shard) "
        f"WHERE h.tenant_id = {place.tenant_id} AND e.tenant_id = {place.tenant_id} AND NOT e.deleted AND {holds} "
        f"ORDER BY h.entity_id LIMIT {PAGE}"
    )
    return Statement(text, [one.value for one in wanted.predicates])


def product(place: Place, wanted: Filter) -> Statement:
    """Return what the query router's planner makes of the filter, with every attribute promoted."""
    comparisons = (
        Comparison(one.key, passing_tests(Operator(one.operator), [TypedValue(_OF[one.key].kind, one.value)]))
        for one in wanted.predicates
    )
    predicate = AllOf((OfAssetType(ASSET_TYPE), *comparisons))
    slotted = {
        one.key: HotMapping(
            place.ids[one.key],
            place.tenant_id,
            place.asset_type_id,
            place.ids[one.key],
            SLOTS[_OF[one.key].slot],
            MappingState.READY,
        )
        for one in wanted.predicates
    }
    text, values = search_statement(
        EntitySearch(place.tenant_id, predicate, (), (), None, None, PAGE), slotted, alone=True
    )
    return Statement(text, values)


def documents(place: Place, wanted: Filter) -> Statement:
    """Return the filter over documents: containment for equalities, which GIN has an index for, casts for ranges."""
    parts: list[str] = []
    for n, one in enumerate(wanted.predicates, 1):
        cast = {ValueType.INT64: "bigint", ValueType.STRING: "text", ValueType.BOOL: "boolean"}[_OF[one.key].kind]
        if one.operator == "=":
            parts.append(f"d.document @> jsonb_build_object('{one.key}', ${n}::{cast})")
        else:
            parts.append(f"(d.document ->> '{one.key}')::{cast} {one.operator} ${n}")
    text = (
        f"SELECT d.entity_id FROM documents AS d JOIN entities AS e USING (tenant_id, entity_id) "
        f"WHERE d.tenant_id = {place.tenant_id} AND e.tenant_id = {place.tenant_id} AND NOT e.deleted "
        f"AND {' AND '.join(parts)} "
        f"ORDER BY d.entity_id LIMIT {PAGE}"
    )
    return Statement(text, [one.value for one in wanted.predicates])
