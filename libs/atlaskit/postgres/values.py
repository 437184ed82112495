"""Values as rows of the history hold them."""

from __future__ import annotations

from collections.abc import Sequence

from atlaskit.model import EntityState, Observation, Scalar, TypedValue, ValueType
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


def entity_state(tenant_id: int, rows: Sequence[Row]) -> EntityState:
    """Return the entity that these rows are of, one row a value; at least one, without a key if there is no value."""
    first = rows[0]
    return EntityState(
        tenant_id=tenant_id,
        entity_id=first["entity_id"],
        entity_key=first["entity_key"] or "",
        asset_type=first["asset_type"] or "",
        created_at=first["created_at"],
        values=tuple(observation(row["attribute_key"], row) for row in rows if row["attribute_key"] is not None),
    )
