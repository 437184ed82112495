"""From a predicate to the text of a condition, which depends on its shape alone; values are parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from atlaskit.selection.conditions import Test
from atlaskit.selection.predicates import AllOf, AnyOf, Comparison, Not, OfAssetType, Predicate, SilentFor


class EntityColumns(Protocol):
    """What a statement over entities has to say of one of them, as expressions that are true or false, never NULL."""

    def passes(self, attribute: str, test: Test) -> str:
        """Return whether the current value of the attribute passes."""
        ...

    def is_recent(self, attribute: str, within: timedelta) -> str:
        """Return whether that value was observed at most so long before the entity's newest observation."""
        ...

    def is_silent(self, duration: timedelta) -> str:
        """Return whether the newest observation lies at least so long back."""
        ...

    def is_of_type(self, asset_type: str) -> str:
        """Return whether the entity is of the type."""
        ...


def condition(predicate: Predicate, columns: EntityColumns) -> str:
    """Return the condition in brackets."""
    match predicate:
        case Comparison(attribute=attribute, tests=tests, within=within):
            text = " OR ".join(columns.passes(attribute, test) for test in tests)
            recent = "" if within is None else f" AND {columns.is_recent(attribute, within)}"
            return f"(({text}){recent})"
        case OfAssetType(asset_type=asset_type):
            return f"({columns.is_of_type(asset_type)})"
        case SilentFor(duration=duration):
            return f"({columns.is_silent(duration)})"
        case Not(predicate=inner):
            return f"(NOT {condition(inner, columns)})"
        case AllOf(predicates=parts):
            return "(" + " AND ".join(condition(part, columns) for part in parts) + ")"
        case AnyOf(predicates=parts):
            return "(" + " OR ".join(condition(part, columns) for part in parts) + ")"


def beyond(columns: list[tuple[str, str, bool]]) -> str:
    """Return the condition for rows that stand after a cursor.

    `columns` are pairs of column and parameter, with True for a descending order."""
    column, value, descending = columns[0]
    further = f"{column} {'<' if descending else '>'} {value}"
    if len(columns) == 1:
        return f"({further})"
    return f"({further} OR ({column} = {value} AND {beyond(columns[1:])}))"
