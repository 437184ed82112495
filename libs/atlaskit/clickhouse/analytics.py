"""Pages of one tenant's entities, and figures of an attribute by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Final

from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse, Row
from atlaskit.clickhouse.reader import observation, timestamp
from atlaskit.clickhouse.settings import SETTINGS
from atlaskit.figures import Figures
from atlaskit.model import EntityState, Observation
from atlaskit.sql import load

_SQL: Final = load(files("atlaskit.clickhouse") / "queries")
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FOREVER: Final = datetime(2299, 12, 31, tzinfo=UTC)


async def entities(
    clickhouse: ClickHouse,
    tenant_id: int,
    after: int,
    count: int,
    *,
    attributes: Collection[str] = (),
    as_of: datetime | None = None,
    limit: timedelta = CALL_LIMIT,
) -> list[EntityState]:
    """Return up to `count` entities with ids above `after` in order of id, each with these of its values."""
    parameters = {"tenant": tenant_id, "after": after, "most": count}
    page = await clickhouse.rows(_SQL["entities_page"], parameters, limit=limit, settings=SETTINGS)
    values = await values_of(clickhouse, tenant_id, [row[0] for row in page], attributes, as_of=as_of, limit=limit)
    return [
        EntityState(tenant_id, row[0], row[1], row[2], _FIRST + timedelta(microseconds=row[3]), tuple(values[row[0]]))
        for row in page
    ]


async def values_of(
    clickhouse: ClickHouse,
    tenant_id: int,
    entities: Collection[int],
    attributes: Collection[str],
    *,
    as_of: datetime | None,
    limit: timedelta,
) -> defaultdict[int, list[Observation]]:
    """Return the current values of these attributes by entity."""
    values: defaultdict[int, list[Observation]] = defaultdict(list)
    if entities and attributes:
        wanted = {
            "tenant": tenant_id,
            "entities": list(entities),
            "attributes": list(attributes),
            "as_of": timestamp(as_of or _FOREVER),
        }
        rows = await clickhouse.rows(
            _SQL["values_of_entities"], wanted, limit=limit, settings=SETTINGS, as_bytes=("value_bytes",)
        )
        for row in rows:
            values[row[10]].append(observation(row))
    return values


async def figures(
    clickhouse: ClickHouse,
    tenant_id: int,
    attribute_key: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    by_entity: bool = False,
    bucket: timedelta | None = None,
    after: tuple[int, int] = (-2, 0),
    most: int,
    limit: timedelta = CALL_LIMIT,
) -> list[Figures]:
    """Return figures of one attribute by group, ordered by entity and bucket, of the groups above `after`.

    `after` is the entity and the bucket's start in microseconds since 1970, -1 where it is not grouped by.
    """
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "attribute": attribute_key,
        "start": timestamp(start or _FIRST),
        "end": timestamp(end or _FOREVER),
        "by_entity": by_entity,
        "width": 0 if bucket is None else bucket // timedelta(microseconds=1),
        "after_entity": after[0],
        "after_bucket": after[1],
        "most": most,
    }
    rows = await clickhouse.rows(_SQL["figures"], parameters, limit=limit, settings=SETTINGS)
    return [_figures(row) for row in rows]


def _figures(row: Row) -> Figures:
    entity, bucket, *numbers, integer_sum, double_sum = row
    start = None if bucket < 0 else _FIRST + timedelta(microseconds=bucket)
    columns: tuple[Any, ...] = (None if entity < 0 else entity, start, *numbers, int(integer_sum), double_sum)
    return Figures(*columns)
