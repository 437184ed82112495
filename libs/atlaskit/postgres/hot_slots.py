"""Typed slots for the current values of promoted attributes: which there are, what a mapping says of one, and its SQL.

A mapping gives a slot to an attribute of the entities of one asset type. A slot is read only under a mapping that is
READY in the snapshot that is read. Then it tells one of three things of an entity of that type:

- its mapping id is another or null: the entity has no value of the attribute;
- `deleted` is false: this is the current value, of the slot's type;
- `deleted` is true: only history knows. The newest observation is deleted, of another type, or too long for the slot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from atlaskit.model import ValueType
from atlaskit.postgres.pool import Row

TABLE: Final = "entity_hot_attributes"
NUMBERS: Final = range(1, 7)
MAX_TEXT_BYTES: Final = 512  # a longer text is left to history: an entry of an index holds 2,700
NO_ASSET_TYPE: Final = 0  # of entities without one
_KINDS: Final[Mapping[str, tuple[ValueType, str]]] = {
    "int": (ValueType.INT64, "bigint"),
    "uint": (ValueType.UINT64, "numeric"),
    "double": (ValueType.DOUBLE, "double precision"),
    "bool": (ValueType.BOOL, "boolean"),
    "text": (ValueType.STRING, "text"),
}


class MappingState(StrEnum):
    """Where a mapping is in its life; it goes one way."""

    BACKFILLING = "BACKFILLING"  # writes keep its slot, what was written before is being filled in
    READY = "READY"
    RETIRED = "RETIRED"


class Slot(NamedTuple):
    """One slot of the closed set `SLOTS`: its columns may be text of a statement."""

    name: str
    kind: ValueType
    sql_type: str

    def column(self, part: str = "", table: str = "") -> str:
        """Return the column of the value, or of the `mapping`, `time`, `version` or `deleted` of the slot."""
        name = f"{self.name}_{part}" if part else self.name
        return f"{table}.{name}" if table else name


SLOTS: Final[Mapping[str, Slot]] = {
    f"{prefix}_{number}": Slot(f"{prefix}_{number}", kind, sql_type)
    for prefix, (kind, sql_type) in _KINDS.items()
    for number in NUMBERS
}


def slots_of(kind: ValueType) -> list[Slot]:
    """Return the slots that hold values of a type; there are none for BYTES."""
    return [slot for slot in SLOTS.values() if slot.kind is kind]


class HotMapping(NamedTuple):
    """What the catalogue says of one attribute of one asset type (0: of entities without one) of a tenant."""

    mapping_id: int
    tenant_id: int
    asset_type_id: int
    attribute_id: int
    slot: Slot
    state: MappingState


def mapping_from(row: Row) -> HotMapping:
    """Return a row of the catalogue."""
    return HotMapping(
        row["mapping_id"],
        row["tenant_id"],
        row["asset_type_id"],
        row["attribute_id"],
        SLOTS[row["slot"]],
        MappingState(row["state"]),
    )


class SlotTerms(NamedTuple):
    """SQL of one attribute in its slot: `known` holds where the slot tells the value, `asks` where only history does.

    Where neither holds the entity has no value. `value` and `event_time` count where `known` holds. Both conditions
    name the mapping, so that the index of the slot serves them."""

    mapping: HotMapping
    value: str
    event_time: str
    known: str
    asks: str


def terms_of(mapping: HotMapping, table: str) -> SlotTerms:
    """Return the SQL of a mapping; `table` is the alias of `entity_hot_attributes`, never text of a user."""
    slot, number = mapping.slot, int(mapping.mapping_id)
    held = f"{slot.column('mapping', table)} = {number}"
    deleted = slot.column("deleted", table)
    return SlotTerms(
        mapping,
        slot.column(table=table),
        slot.column("time", table),
        f"({held} AND NOT {deleted})",
        f"({held} AND {deleted})",
    )


def still_ready(mappings: Iterable[HotMapping]) -> str:
    """Return a condition that holds if all these mappings are READY in the snapshot of the statement it stands in.

    A statement that answers from slots selects it too: where it does not hold the answer is dropped, and history
    asked."""
    ids = sorted({int(mapping.mapping_id) for mapping in mappings})
    if not ids:
        return "true"
    listed = ", ".join(map(str, ids))
    ready = f"SELECT count(*) FROM hot_attribute_slots WHERE mapping_id IN ({listed}) AND state = 'READY'"  # noqa: S608  # of numbers
    return f"({ready}) = {len(ids)}"


def covering(
    mappings: Iterable[HotMapping], attribute_id: int, asset_type_ids: Collection[int]
) -> list[HotMapping] | None:
    """Return the READY mapping of an attribute for each of these asset types, or None if one has none."""
    found = {
        one.asset_type_id: one
        for one in mappings
        if one.attribute_id == attribute_id and one.state is MappingState.READY
    }
    if not asset_type_ids or not all(asset_type in found for asset_type in asset_type_ids):
        return None
    return [found[asset_type] for asset_type in sorted(asset_type_ids)]
