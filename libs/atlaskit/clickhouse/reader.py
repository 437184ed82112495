"""Reads of one tenant's values. Each reads what is visible now; what that proves, `watermark` says."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Final

from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse, Row
from atlaskit.clickhouse.settings import SETTINGS
from atlaskit.errors import AtlasError
from atlaskit.model import EntityState, Observation, TypedValue, ValueType
from atlaskit.sql import load

_SQL = load(files("atlaskit.clickhouse") / "queries")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOREVER = datetime(2299, 12, 31, tzinfo=UTC)
MAX_VALUES: Final = 10_000
# Where the value of each type stands in a row of the value queries.
_VALUE_AT = {kind: kind + 1 for kind in ValueType}


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Statistics of one attribute. Without a number they are None; `exact_sum` also if one of them is a DOUBLE."""

    observations: int
    numbers: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    sum: float | None
    exact_sum: int | None


async def entity(
    clickhouse: ClickHouse,
    tenant_id: int,
    entity_id: int,
    *,
    attributes: Collection[str] = (),
    as_of: datetime | None = None,
    most: int = MAX_VALUES,
    limit: timedelta = CALL_LIMIT,
) -> EntityState | None:
    """Return the entity with its values current at `as_of` (event time; None: the newest), or None if it has neither.

    An empty `attributes` asks for all; at most `most` come, in the order of their keys.
    """
    asked = {"tenant": tenant_id, "entity": entity_id}
    values = {**asked, "attributes": list(attributes), "as_of": timestamp(as_of or _FOREVER), "most": most}
    try:
        async with asyncio.TaskGroup() as group:
            metadata = group.create_task(clickhouse.rows(_SQL["entity"], asked, limit=limit, settings=SETTINGS))
            latest = group.create_task(_observations(clickhouse, "latest_values", values, limit))
    except* AtlasError as errors:
        raise errors.exceptions[0] from None  # one read to the caller, so one error
    found = metadata.result()
    if not latest.result() and (not found or found[0][3]):
        return None
    key, asset_type, created_at = found[0][:3] if found else ("", "", None)
    return EntityState(tenant_id, entity_id, key, asset_type, created_at, tuple(latest.result()))


async def history(
    clickhouse: ClickHouse,
    tenant_id: int,
    entity_id: int,
    attribute_key: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    newest_first: bool = False,
    most: int = MAX_VALUES,
    limit: timedelta = CALL_LIMIT,
) -> list[Observation]:
    """Return the observations of one attribute with start <= event time < end, at most `most`, by event time."""
    parameters = {
        "tenant": tenant_id,
        "entity": entity_id,
        "attribute": attribute_key,
        "most": most,
        **_span(start, end),
    }
    name = "history_newest_first" if newest_first else "history_oldest_first"
    return await _observations(clickhouse, name, parameters, limit)


async def aggregate(
    clickhouse: ClickHouse,
    tenant_id: int,
    attribute_key: str,
    *,
    entities: Collection[int] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    limit: timedelta = CALL_LIMIT,
) -> Aggregate:
    """Return statistics over all observations with start <= event time < end, of all entities or of these."""
    parameters = {"tenant": tenant_id, "attribute": attribute_key, "entities": list(entities), **_span(start, end)}
    row = (await clickhouse.rows(_SQL["aggregate"], parameters, limit=limit, settings=SETTINGS))[0]
    observations, numbers, minimum, maximum, mean, total, exact = row
    return Aggregate(observations, numbers, minimum, maximum, mean, total, None if exact is None else int(exact))


def timestamp(instant: datetime) -> str:
    """Return the aware instant as a parameter of type DateTime64(6, 'UTC'), to the microsecond."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def observation(row: Row) -> Observation:
    """Return the observation that a row of the value queries holds."""
    kind = ValueType(row[1])
    event_time = _EPOCH + timedelta(microseconds=row[8])
    return Observation(row[0], event_time, TypedValue(kind, row[_VALUE_AT[kind]]), row[9])


async def _observations(
    clickhouse: ClickHouse, name: str, parameters: Mapping[str, Any], limit: timedelta
) -> list[Observation]:
    rows = await clickhouse.rows(_SQL[name], parameters, limit=limit, settings=SETTINGS, as_bytes=("value_bytes",))
    return [observation(row) for row in rows]


def _span(start: datetime | None, end: datetime | None) -> dict[str, str]:
    return {"start": timestamp(start or _EPOCH), "end": timestamp(end or _FOREVER)}
