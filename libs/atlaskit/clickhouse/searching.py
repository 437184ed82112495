"""Pages of one tenant's entities by predicate and order: first the page, then the values of its entities."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from atlaskit.clickhouse.analytics import values_of
from atlaskit.clickhouse.choosing import Choice
from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse
from atlaskit.clickhouse.rendering import FIRST, Parameters, cursor_value, value_order
from atlaskit.clickhouse.settings import SETTINGS
from atlaskit.model import EntityState
from atlaskit.selection.rendering import beyond
from atlaskit.selection.searches import EntitySearch, Found

_OF_VALUE: Final = ("UInt8", "UInt8", "Float64", "Int128", "String", "String")


async def search(clickhouse: ClickHouse, asked: EntitySearch, *, limit: timedelta = CALL_LIMIT) -> list[Found]:
    """Return the entities that a search asks for, in its order."""
    text, parameters = page_statement(asked)
    page = await clickhouse.rows(text, parameters, limit=limit, settings=SETTINGS)
    ids = [row[0] for row in page]
    values = await values_of(clickhouse, asked.tenant_id, ids, asked.attributes, as_of=asked.as_of, limit=limit)
    found = []
    for entity_id, key, asset_type, created, *cursor in page:
        created_at = FIRST + timedelta(microseconds=created)
        state = EntityState(asked.tenant_id, entity_id, key, asset_type, created_at, tuple(values[entity_id]))
        found.append(Found(state, tuple(cursor)))
    return found


def page_statement(asked: EntitySearch) -> tuple[str, dict[str, Any]]:
    """Return the text and the values of the statement that finds the page."""
    parameters = Parameters()
    tenants = parameters.add([asked.tenant_id], "Array(UInt32)")
    ordered = tuple(order.attribute for order in asked.order if order.attribute is not None)
    choice = Choice(parameters, tenants, asked.predicate, ordered, asked.as_of)
    columns = _order(asked, choice)
    where = choice.condition()
    if asked.after is not None:
        where += " AND " + beyond(
            [
                (text, cursor_value(parameters, kind, value), down)
                for (text, kind, down), value in zip(columns, asked.after, strict=True)
            ]
        )
    by = ", ".join(f"s{number}{' DESC' if down else ''}" for number, (_, _, down) in enumerate(columns))
    shown = ", ".join(f"{text} AS s{number}" for number, (text, _, _) in enumerate(columns))
    text = (
        f"SELECT entity_id, entity_key, asset_type, created, {shown} FROM {choice.entities()} WHERE {where}"
        f" ORDER BY {by} LIMIT {parameters.add(asked.most, 'UInt32')}"
    )
    return text, parameters.values


def _order(asked: EntitySearch, choice: Choice) -> list[tuple[str, str, bool]]:
    columns: list[tuple[str, str, bool]] = []
    for order in asked.order:
        if order.attribute is None:
            columns.append(("entity_key", "String", order.descending))
            continue
        value = choice.value(order.attribute)
        texts = [f"{value}.1 = 0", *value_order(value)]
        downs = (False, *[order.descending] * (len(texts) - 1))
        columns += zip(texts, _OF_VALUE, downs, strict=True)
    return [*columns, ("entity_id", "UInt64", False)]
