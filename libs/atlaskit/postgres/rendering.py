"""Texts of statements over the history whose shape a caller chooses. Values are parameters without exception.

Unlike the named statements these are put together: predicates, orders and groups have too many shapes to be listed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from atlaskit.model import ValueType
from atlaskit.selection.conditions import Between, Compared, Exists, OneOf, Operator, StartsWith, Test

FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
COLUMN: Final = {
    ValueType.INT64: "value_int",
    ValueType.UINT64: "value_uint",
    ValueType.DOUBLE: "value_double",
    ValueType.BOOL: "value_bool",
    ValueType.STRING: "value_text",
    ValueType.BYTES: "value_bytes",
}
SQL_TYPE: Final = {
    ValueType.INT64: "bigint",
    ValueType.UINT64: "numeric",
    ValueType.DOUBLE: "double precision",
    ValueType.BOOL: "boolean",
    ValueType.STRING: "text",
    ValueType.BYTES: "bytea",
}
VALUES: Final = ", ".join(f"h.{column}" for column in COLUMN.values())
ERASURES: Final = "'1969-12-31T00:00:00Z'"
# Numbers before text, octets and truth values; 0: none.
RANK: Final = "CASE {v}.value_type WHEN 5 THEN 2 WHEN 6 THEN 3 WHEN 4 THEN 4 ELSE CASE WHEN {v}.value_type > 0 THEN 1 ELSE 0 END END"
NUMBER: Final = (
    "coalesce(exact_number({v}.value_int, {v}.value_uint, {v}.value_double), {v}.value_bool::integer::numeric, 0)"
)


class Parameters:
    """The values of one statement, in order."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any, sql_type: str) -> str:
        """Return the text that stands for a value."""
        self.values.append(value)
        return f"${len(self.values)}::{sql_type}"

    def microseconds(self, duration: timedelta) -> str:
        """Return the text of a duration. An interval with days would follow the time zone of the session."""
        return f"({self.add(duration // timedelta(microseconds=1), 'bigint')} * interval '1 microsecond')"


def passes(parameters: Parameters, alias: str, test: Test) -> str:
    """Return whether the value that stands in the columns of `alias` passes; false if there is none."""
    match test:
        case Exists():
            return f"{alias}.value_type IS NOT NULL"
        case StartsWith():
            return f"coalesce({passes_column(parameters, f'{alias}.value_text', test)}, false)"
        case Between(type=kind) | OneOf(type=kind) | Compared(type=kind):
            return f"coalesce({passes_column(parameters, f'{alias}.{COLUMN[kind]}', test)}, false)"


def passes_column(parameters: Parameters, column: str, test: Between | OneOf | Compared | StartsWith) -> str:
    """Return whether a value of the test's type in this column passes; unknown if it is null."""
    match test:
        case StartsWith(prefix=prefix):
            return f"starts_with({column}, {parameters.add(prefix, 'text')})"
        case Between(type=kind, low=low, high=high, outside=outside):
            bounds = f"{parameters.add(low, SQL_TYPE[kind])} AND {parameters.add(high, SQL_TYPE[kind])}"
            return f"{column} {'NOT ' if outside else ''}BETWEEN {bounds}"
        case OneOf(type=kind, values=values):
            return f"{column} = ANY ({parameters.add(list(values), SQL_TYPE[kind] + '[]')})"
        case Compared(type=kind, operator=operator, operand=operand):
            assert operator not in (Operator.IN, Operator.STARTS_WITH, Operator.EXISTS)
            collated = column + (' COLLATE "C"' if kind is ValueType.STRING and operator is not Operator.EQUAL else "")
            return f"{collated} {operator.value} {parameters.add(operand, SQL_TYPE[kind])}"


def erased(tenant: str, entity: str, attribute: str) -> str:
    """Return the row version up to which deletes of the attribute or of the entity hide its rows; 0 without a delete."""
    newest = (
        f"(SELECT max(x.row_version) FROM entity_attributes AS x WHERE x.tenant_id = {tenant} AND x.entity_id = {entity}"
        f" AND x.event_time = {ERASURES} AND x.attribute_id = "
    )
    return f"greatest({newest}{attribute}), {newest}0), 0)"


def newest(tenant: str, entity: str, attribute: str, as_of: str) -> str:
    """Return a query for the row of the value that is current at an instant; of several deliveries the last counts."""
    return (
        f"SELECT h.event_time, h.value_type, h.source_type_id, {VALUES} FROM entity_attributes AS h"
        f" CROSS JOIN (SELECT {erased(tenant, entity, attribute)} AS version) AS erased"
        f" WHERE h.tenant_id = {tenant} AND h.entity_id = {entity} AND h.attribute_id = {attribute}"
        f" AND h.event_time > {ERASURES} AND h.event_time <= {as_of} AND h.deletion = 0 AND h.row_version > erased.version"
        " AND h.row_version = (SELECT max(d.row_version) FROM entity_attributes AS d"
        f" WHERE d.tenant_id = {tenant} AND d.entity_id = {entity} AND d.attribute_id = {attribute} AND d.event_time = h.event_time)"
        " ORDER BY h.event_time DESC, h.row_version DESC LIMIT 1"
    )


def newest_report(tenant: str, entity: str, as_of: str) -> str:
    """Return a query for the newest event time of an entity, by a loose scan over its attributes."""
    ids = f"SELECT h.attribute_id FROM entity_attributes AS h WHERE h.tenant_id = {tenant} AND h.entity_id = {entity}"
    return (
        f"WITH RECURSIVE carried AS (({ids} AND h.attribute_id > 0 ORDER BY h.attribute_id LIMIT 1) UNION ALL SELECT"
        f" ({ids} AND h.attribute_id > c.attribute_id ORDER BY h.attribute_id LIMIT 1)"
        " FROM carried AS c WHERE c.attribute_id IS NOT NULL)"
        " SELECT max(newest.event_time) AS event_time FROM carried CROSS JOIN LATERAL"
        f" ({newest(tenant, entity, 'carried.attribute_id', as_of)}) AS newest WHERE carried.attribute_id IS NOT NULL"
    )


def attribute_id(tenant: str, key: str) -> str:
    """Return the id of an attribute key, NULL if it is not known."""
    return f"(SELECT k.attribute_id FROM attribute_keys AS k WHERE k.tenant_id = {tenant} AND k.attribute_key = {key})"
