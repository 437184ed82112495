"""A batch as it came, in columns, before anybody looked at what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from atlaskit.batch import Columns, Form, Integers, Part, States
from atlaskit.model import ValueType

MAX_ITEMS = 50_000


class Flaw(NamedTuple):
    """What is wrong with a part of an item: a reason for machines, a sentence for people."""

    reason: str
    message: str


@dataclass(slots=True)
class Draft:
    """The items of one request as columns, of either form.

    Dictionaries of asset and source types are indexed from 1; 0 is none. `values` holds, for each type in use, the
    values of the items of that type in order. `flaws` are those that the columns cannot show, by item; the first of an
    item counts.
    """

    form: Form
    entities: Sequence[str] | Sequence[int]
    attribute_keys: Sequence[str]
    asset_types: Sequence[str]
    source_types: Sequence[str]
    entity_indexes: Integers
    attribute_indexes: Integers
    asset_type_indexes: Integers
    source_type_indexes: Integers
    event_times_us: Integers
    value_types: Integers
    values: Columns
    deletions: States | None = None  # None: all are writes
    flaws: dict[int, tuple[Part, Flaw]] = field(default_factory=dict)

    def places_of(self, kind: ValueType) -> Integers:
        """Return the items whose value is of this type, in order: the k-th takes the k-th value of the type."""
        return np.flatnonzero(self.value_types == kind)
