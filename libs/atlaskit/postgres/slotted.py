"""Searches by current values that stand in slots: when they may, and the text that reads them.

A search may use the slots of an asset type if it asks for the newest values of entities that must all be of that type.
What a slot does not know is read from history, entity by entity. Where a condition that must hold is one on a slot, the
entities are found by the slot's index, together with those of which only history knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from atlaskit.model import ValueType
from atlaskit.postgres.hot_slots import TABLE, HotMapping, still_ready, terms_of
from atlaskit.postgres.rendering import COLUMN, SQL_TYPE, Parameters, passes_column
from atlaskit.selection.conditions import Exists, Test
from atlaskit.selection.predicates import AllOf, Comparison, OfAssetType, Predicate
from atlaskit.selection.searches import EntitySearch, deciding_attributes

# READY mappings of one asset type by attribute key.
Slotted: TypeAlias = Mapping[str, HotMapping]
ALIAS: Final = "hot"


def necessary(predicate: Predicate | None) -> Iterator[Predicate]:
    """Yield conditions that every chosen entity fulfils."""
    if isinstance(predicate, AllOf):
        for part in predicate.predicates:
            yield from necessary(part)
    elif predicate is not None:
        yield predicate


def attributes_in_slots(search: EntitySearch) -> tuple[str, list[str]] | None:
    """Return the asset type whose slots may serve a search and the attributes that decide in it, or None."""
    types = {part.asset_type for part in necessary(search.predicate) if isinstance(part, OfAssetType)}
    names = list(deciding_attributes(search))
    if search.as_of is not None or len(types) != 1 or not names:
        return None
    return types.pop(), names


def join(tenant: str) -> str:
    """Return what joins the rows of slots to the entities `e`."""
    return (
        f" LEFT JOIN {TABLE} AS {ALIAS} ON {ALIAS}.tenant_id = {tenant} AND {ALIAS}.entity_id = e.entity_id"
        f" AND {ALIAS}.shard = e.shard"
    )


def known_in_slot(mapping: HotMapping) -> str:
    """Return a query for the row of the current value, in the columns of the history; none where the slot has none."""
    terms, slot = terms_of(mapping, ALIAS), mapping.slot
    columns = ", ".join(
        f"{terms.value if kind is slot.kind else f'NULL::{SQL_TYPE[kind]}'} AS {column}"
        for kind, column in COLUMN.items()
    )
    return (
        f"SELECT {terms.event_time} AS event_time, {int(slot.kind)}::smallint AS value_type,"
        f" NULL::integer AS source_type_id, {columns} WHERE {terms.known}"
    )


def known_or_asked(mapping: HotMapping, newest: str) -> str:
    """Return the same, with the row that `newest` reads from history where only that knows."""
    asked = f"SELECT asked.* FROM ({newest}) AS asked WHERE {terms_of(mapping, ALIAS).asks}"  # noqa: S608  # closed names
    return f"{known_in_slot(mapping)} UNION ALL {asked}"


def doubt(predicate: Predicate | None, slotted: Slotted, tenant: str, parameters: Parameters) -> str:
    """Return whether an answer from slots alone may be wrong: a value that decides is not in them, or one is not READY.

    True or false for the snapshot of the statement that it stands in."""
    asks = " OR ".join(terms_of(mapping, ALIAS).asks for mapping in slotted.values())
    holds = "".join(f" AND {one}" for one in candidates(predicate, slotted, parameters))
    rows = f"SELECT FROM {TABLE} AS {ALIAS} WHERE {ALIAS}.tenant_id = {tenant} AND ({asks}){holds}"  # closed names
    return f"(EXISTS ({rows}) OR NOT {still_ready(slotted.values())})"


def candidates(
    predicate: Predicate | None, slotted: Slotted, parameters: Parameters, *, asking: bool = True
) -> Iterator[str]:
    """Yield conditions on the rows of slots, served by an index, that every chosen entity fulfils.

    Without `asking`, every chosen entity of which the slots know enough."""
    for part in necessary(predicate):
        if isinstance(part, Comparison) and (mapping := slotted.get(part.attribute)) is not None:
            terms = terms_of(mapping, ALIAS)
            tests = (_holds(mapping.slot.kind, terms.value, test, parameters) for test in part.tests)
            holds = " OR ".join(one for one in tests if one) or "false"
            yield f"({terms.known} AND ({holds}){f' OR {terms.asks}' if asking else ''})"


def remaining(predicate: Predicate | None, slotted: Slotted) -> Predicate | None:
    """Return what `candidates` without asking, and the asset type of the mappings, leave of a predicate."""
    parts = tuple(part for part in necessary(predicate) if not _settled(part, slotted))
    return AllOf(parts) if parts else None


def _settled(part: Predicate, slotted: Slotted) -> bool:
    if isinstance(part, Comparison):
        return part.within is None and part.attribute in slotted
    return isinstance(part, OfAssetType)


def _holds(kind: ValueType, column: str, test: Test, parameters: Parameters) -> str:
    if isinstance(test, Exists):
        return "true"
    return passes_column(parameters, column, test) if kind_of(test) is kind else ""


def kind_of(test: Test) -> ValueType | None:
    """Return the type of the values that may pass, None for any."""
    return getattr(test, "type", None) or (None if isinstance(test, Exists) else ValueType.STRING)
