"""What a transaction of ingest says of slots, decided from its batches: one row an entity, collapsed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from atlaskit.batch import DELETED_AT_US, Integers
from atlaskit.model import Deletion, Scalar, ValueType
from atlaskit.postgres.entities import Identity
from atlaskit.postgres.history import Numbered
from atlaskit.postgres.hot_slots import MAX_TEXT_BYTES, HotMapping, MappingState, Slot


class TenantMappings(NamedTuple):
    """The mappings of a tenant that writes keep: by asset type (0: none), then by attribute."""

    by_type: Mapping[int, Mapping[int, HotMapping]]
    attributes: frozenset[int]

    @classmethod
    def of(cls, mappings: Sequence[HotMapping]) -> TenantMappings:
        """Return those that are not retired."""
        by_type: dict[int, dict[int, HotMapping]] = {}
        for one in mappings:
            if one.state is not MappingState.RETIRED:
                by_type.setdefault(one.asset_type_id, {})[one.attribute_id] = one
        return cls(by_type, frozenset(attribute for held in by_type.values() for attribute in held))

    def __bool__(self) -> bool:
        return bool(self.attributes)


class Mark(NamedTuple):
    """What a slot is to say, if it says nothing newer: at an event time by a row version, a value, or to ask history.

    At `DELETED_AT_US` it is a delete of the attribute or of the entity: the slot asks from then on, at its own time."""

    mapping_id: int
    time_us: int
    version: int
    asks: bool
    value: Scalar | None


@dataclass(slots=True)
class HotRow:
    """What is said of one entity: its marks by slot, the version of the last item, and of the last delete of all."""

    shard: int
    version: int = 0
    erased: int | None = None
    marks: dict[Slot, Mark] = field(default_factory=dict)

    def put(self, mapping: HotMapping, mark: Mark) -> None:
        """Take a mark; marks come by version, so the later one counts unless its event time is earlier."""
        said = self.marks.get(mapping.slot)
        if said is None or said.time_us <= mark.time_us:
            self.marks[mapping.slot] = mark
            self.version = max(self.version, mark.version)


HotRows = dict[Identity, HotRow]


class HotChanges(NamedTuple):
    """Deletes of attributes and of entities, to be applied first, and what was written after them."""

    erased: HotRows
    written: HotRows


class Typed(NamedTuple):
    """A batch with the asset type, as it is stored by now, of each entity of its dictionary; 0 is none."""

    numbered: Numbered
    asset_types: Integers


def changes_of(
    batches: Sequence[Typed], catalogue: Mapping[int, TenantMappings], without: Collection[Identity] = ()
) -> HotChanges:
    """Return what the batches, in order of delivery, say of slots; not of those of the entities `without`."""
    changes = HotChanges({}, {})
    for one in batches:
        mappings = catalogue.get(one.numbered.batch.tenant.tenant_id)
        if mappings:
            _Reader(one, mappings, without, changes).read()
    return changes


def holds(slot: Slot, kind: int, value: Scalar | None) -> bool:
    """Return whether a slot can hold a value; what it cannot hold is left to history."""
    if kind != slot.kind:
        return False
    return not isinstance(value, str) or len(value.encode()) <= MAX_TEXT_BYTES


class _Reader:
    """Reads one batch, item by item where an attribute is promoted."""

    def __init__(
        self, one: Typed, mappings: TenantMappings, without: Collection[Identity], changes: HotChanges
    ) -> None:
        self._numbered, self._asset_types = one
        self._batch = self._numbered.batch
        self._mappings = mappings
        self._without = without
        self._changes = changes

    def read(self) -> None:
        batch = self._batch
        rows = batch.stored()
        attributes = self._numbered.attribute_ids[batch.attribute_indexes[rows]]
        if not batch.deletes:
            chosen = np.isin(attributes, list(self._mappings.attributes))
            rows, attributes = rows[chosen], attributes[chosen]
        columns = (batch.entity_indexes, batch.deletions, batch.event_times_us, self._numbered.versions)
        taken = (column[rows].tolist() for column in columns)
        kinds, places = batch.value_types[rows].tolist(), batch.value_places[rows].tolist()
        for attribute, kind, at, place, deletion, time_us, version in zip(
            attributes.tolist(), kinds, places, *taken, strict=True
        ):
            held = self._mappings.by_type.get(int(self._asset_types[place]))
            identity = batch.tenant.tenant_id, int(batch.entity_ids[place])
            if not held or identity in self._without:
                continue
            if deletion in (Deletion.ATTRIBUTE, Deletion.ENTITY):
                gone = [held[attribute]] if attribute in held else list(held.values()) if not attribute else []
                self._erase(identity, place, gone, version)
            elif attribute in held:
                mapping = held[attribute]
                value = self._value(kind, at)
                known = holds(mapping.slot, kind, value)
                mark = Mark(mapping.mapping_id, time_us, version, not known, value if known else None)
                self._row(self._changes.written, identity, place).put(mapping, mark)

    def _value(self, kind: int, at: int) -> Scalar | None:
        if not kind:
            return None
        value = self._batch.values[ValueType(kind)][at]
        return value.item() if isinstance(value, np.generic) else value

    def _row(self, rows: HotRows, identity: Identity, place: int) -> HotRow:
        row = rows.get(identity)
        if row is None:
            row = rows[identity] = HotRow(int(self._numbered.shards[place]))
        return row

    def _erase(self, identity: Identity, place: int, gone: Sequence[HotMapping], version: int) -> None:
        if not gone:
            return
        row = self._row(self._changes.erased, identity, place)
        row.version = row.erased = version
        written = self._changes.written.get(identity)
        for mapping in gone:
            row.put(mapping, Mark(mapping.mapping_id, DELETED_AT_US, version, asks=True, value=None))
            if written is not None:
                written.marks.pop(mapping.slot, None)
        if written is not None and not written.marks:
            del self._changes.written[identity]
