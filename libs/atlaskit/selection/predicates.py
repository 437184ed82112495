"""Conditions on entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from atlaskit.selection.conditions import Test


@dataclass(frozen=True, slots=True)
class Comparison:
    """The entity's current value of an attribute passes one of the tests; false without a value.

    `within`: only a value observed at most this long before the entity's newest observation. None: of any age.
    """

    attribute: str
    tests: tuple[Test, ...]
    within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class OfAssetType:
    """The entity is of this type now."""

    asset_type: str


@dataclass(frozen=True, slots=True)
class SilentFor:
    """The entity's newest observation lies at least this long before the instant asked for, else the tenant's newest.

    False for an entity without an observation: how long it has been silent is unknown."""

    duration: timedelta


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    predicate: Predicate


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these."""

    predicates: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these."""

    predicates: tuple[Predicate, ...]


Predicate: TypeAlias = Comparison | OfAssetType | SilentFor | Not | AllOf | AnyOf


def leaves(predicate: Predicate | None) -> Iterator[Comparison | OfAssetType | SilentFor]:
    """Yield the conditions that a predicate is made of, in order."""
    match predicate:
        case None:
            return
        case Not(predicate=inner):
            yield from leaves(inner)
        case AllOf(predicates=parts) | AnyOf(predicates=parts):
            for part in parts:
                yield from leaves(part)
        case _:
            yield predicate


def attributes_of(predicate: Predicate | None) -> tuple[str, ...]:
    """Return the attributes whose current values decide, each once, in order of first use."""
    return tuple(dict.fromkeys(leaf.attribute for leaf in leaves(predicate) if isinstance(leaf, Comparison)))


def needs_newest_report(predicate: Predicate | None) -> bool:
    """Tell whether the entity's newest observation of any attribute decides."""
    return any(
        isinstance(leaf, SilentFor) or (isinstance(leaf, Comparison) and leaf.within is not None)
        for leaf in leaves(predicate)
    )


def needs_tenants_newest(predicate: Predicate | None) -> bool:
    """Tell whether some silence is asked about."""
    return any(isinstance(leaf, SilentFor) for leaf in leaves(predicate))
