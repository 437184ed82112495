"""Values as rows of the history hold them."""

from __future__ import annotations

from atlaskit.model import Observation, Scalar, TypedValue, ValueType
from atlaskit.postgres.pool import Row
from atlaskit.postgres.rendering import COLUMN


def observation(attribute_key: str, row: Row) -> Observation:
    """Return the observation that a row with the columns of a value holds."""
    return Observation(attribute_key, row["event_time"], value(row), row["source_type"] or "")


def value(row: Row, prefix: str = "") -> TypedValue:
    """Return the value of a row whose columns are named as in the history, behind a prefix."""
    kind = ValueType(row[f"{prefix}value_type"])
    stored = row[prefix + COLUMN[kind]]
    scalar: Scalar = int(stored) if kind is ValueType.UINT64 else stored
    return TypedValue(kind, scalar)
