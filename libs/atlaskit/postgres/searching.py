"""Pages of one tenant's entities by predicate and order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from atlaskit.postgres.choosing import Choice, Tenants, value_order
from atlaskit.postgres.pool import Row
from atlaskit.postgres.rendering import FOREVER, VALUES, Parameters, newest
from atlaskit.postgres.slotted import Slotted
from atlaskit.postgres.values import entity_state
from atlaskit.selection.rendering import beyond
from atlaskit.selection.searches import EntitySearch, Found

# Column types of the order by a value: is it missing, and then its four.
_OF_VALUE: Final = ("integer", "integer", "numeric", "text", "text")


def search_statement(
    search: EntitySearch, slotted: Slotted | None = None, *, alone: bool = False
) -> tuple[str, list[Any]]:
    """Return the text and the values of the statement that answers a search: one row a value, as `found` reads them.

    With `slotted` it reads the current values of these attributes from slots; their mappings must be READY for it. With
    `alone` from nowhere else, which is planned many times faster: its rows hold `doubt`, and count only if that is false."""
    parameters = Parameters()
    tenants = Tenants((search.tenant_id,), parameters)
    tenant = tenants.of("e")
    ordered = tuple(order.attribute for order in search.order if order.attribute is not None)
    choice = Choice(parameters, tenants, search.predicate, ordered, search.as_of, slotted=slotted, alone=alone)
    columns = _order(search, choice)
    names = [f"s{number}" for number in range(len(columns))]
    where = choice.chosen()
    if search.after is not None:
        where += " AND " + beyond(_after(columns, search.after, parameters))
    by = ", ".join(name + (" DESC" if down else "") for name, (_, _, down) in zip(names, columns, strict=True))
    shown = "".join(f", {text} AS {name}" for name, (text, _, _) in zip(names, columns, strict=True))
    page = (
        f"SELECT e.entity_id, e.entity_key, e.created_at, e.asset_type_id{shown} FROM {choice.entities()}"
        f" WHERE {where} ORDER BY {by} LIMIT {parameters.add(search.most, 'integer')}"
    )
    cursor = "".join(
        f", page.{name}{'::text' if kind == 'numeric' else ''} AS {name}"
        for name, (_, kind, _) in zip(names, columns, strict=True)
    )
    by_page = ", ".join("page." + part for part in by.split(", "))
    source = f"(SELECT {choice.doubt()} AS doubt) AS sure LEFT JOIN page ON true" if alone else "page"
    values, joined = _values(search, tenant, parameters)
    key = "f.attribute_key" if search.attributes else "page.entity_key"
    text = (
        f"WITH {choice.before()}page AS ({page}) SELECT {'sure.doubt, ' if alone else ''}page.entity_id, page.entity_key,"
        f" page.created_at, t.asset_type, {values}{cursor} FROM {source}"
        f" LEFT JOIN asset_types AS t ON t.tenant_id = {tenant} AND t.asset_type_id = page.asset_type_id{joined}"
        f' ORDER BY {by_page}, {key} COLLATE "C"'
    )
    return text, parameters.values


def _values(search: EntitySearch, tenant: str, parameters: Parameters) -> tuple[str, str]:
    """Return the columns of the values that a search returns with each entity, and what joins them to the page."""
    if not search.attributes:
        return "NULL::text AS attribute_key", ""
    keys = parameters.add(list(search.attributes), "text[]")
    as_of = parameters.add(search.as_of or FOREVER, "timestamptz")
    wanted = (
        "(SELECT k.attribute_id, k.attribute_key FROM attribute_keys AS k"
        f" WHERE k.tenant_id = {tenant} AND k.attribute_key = ANY ({keys})) AS wanted"
    )
    return (
        f"f.attribute_key AS attribute_key, s.source_type, f.event_time, f.value_type, {VALUES.replace('h.', 'f.')}",
        f" LEFT JOIN LATERAL (SELECT wanted.attribute_key, newest.* FROM {wanted} CROSS JOIN LATERAL"
        f" ({newest(tenant, 'page.entity_id', 'wanted.attribute_id', as_of)}) AS newest) AS f ON true"
        " LEFT JOIN source_types AS s ON s.source_type_id = f.source_type_id",
    )


def found(search: EntitySearch, rows: Sequence[Row]) -> list[Found]:
    """Return the entities that the rows of the statement hold, in their order."""
    groups = groupby(rows, key=lambda row: row["entity_id"])
    return [_found(search.tenant_id, list(group)) for entity_id, group in groups if entity_id is not None]


def _found(tenant_id: int, rows: list[Row]) -> Found:
    first = rows[0]
    names = (f"s{number}" for number in range(len(first)))
    return Found(entity_state(tenant_id, rows), tuple(first[name] for name in names if name in first))


def _order(search: EntitySearch, choice: Choice) -> list[tuple[str, str, bool]]:
    """Return expression, type and direction of each column of the order; the entity's number is the last."""
    columns: list[tuple[str, str, bool]] = []
    for order in search.order:
        if order.attribute is None:
            columns.append(("coalesce(e.entity_key, '') COLLATE \"C\"", "text", order.descending))
            continue
        rank, *values = value_order(choice.alias(order.attribute))
        texts = [f"({rank} = 0)::integer", rank, *values]
        downs = (False, *[order.descending] * len(values), order.descending)
        columns += zip(texts, _OF_VALUE, downs, strict=True)
    return [*columns, ("e.entity_id", "bigint", False)]


def _after(
    columns: list[tuple[str, str, bool]], after: tuple[Any, ...], parameters: Parameters
) -> list[tuple[str, str, bool]]:
    return [
        (text, parameters.add(value, "text") + "::numeric" if kind == "numeric" else parameters.add(value, kind), down)
        for (text, kind, down), value in zip(columns, after, strict=True)
    ]
