"""One tenant's drives, drawn from a real day of drives, in the tables of the product and as documents."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import numpy as np
from atlaskit.batch import Integers
from atlaskit.model import ValueType
from atlaskit.postgres.frames import frame_of
from atlaskit.postgres.history import Rows, shards_of_ids
from atlaskit.sql import load
from numpy.typing import NDArray

SQL = load(Path(__file__).parent / "queries")
REAL_DAY = Path(__file__).parents[1] / "libs/atlas_cli/data/backblaze/2013-05-09.csv.gz"
CHUNK = 5_000  # entities of one COPY
ASSET_TYPE = "drive"
SPREAD = 10
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY_US = 86_400_000_000


class Attribute(NamedTuple):
    """An attribute of a drive: its column in the file, its type, the slot that holds it, and its observations."""

    key: str
    kind: ValueType
    slot: str
    days: int


# What never changes is observed twice, what is measured three times: 21 values a drive.
ATTRIBUTES = (
    Attribute("capacity_bytes", ValueType.INT64, "int_1", 2),
    Attribute("smart_1_raw", ValueType.INT64, "int_2", 3),
    Attribute("smart_5_raw", ValueType.INT64, "int_3", 3),
    Attribute("smart_9_raw", ValueType.INT64, "int_4", 3),
    Attribute("smart_194_raw", ValueType.INT64, "int_5", 3),
    Attribute("smart_197_raw", ValueType.INT64, "int_6", 3),
    Attribute("model", ValueType.STRING, "text_1", 2),
    Attribute("failure", ValueType.BOOL, "bool_1", 2),
)
INTEGERS = [one for one in ATTRIBUTES if one.kind is ValueType.INT64]
PER_ENTITY = sum(one.days for one in ATTRIBUTES)


class Drives(NamedTuple):
    """The drives of the real day, as columns."""

    models: list[str]
    failed: NDArray[np.bool_]
    numbers: dict[str, Integers]

    def quantile(self, key: str, share: float) -> int:
        """Return the value that this share of the drives is below."""
        return int(np.quantile(self.numbers[key], share))


class Place(NamedTuple):
    """Where drives are loaded: the tenant, their asset type, and the ids of its attributes by key."""

    tenant_id: int
    asset_type_id: int
    ids: dict[str, int]


def real_drives() -> Drives:
    """Return the drives of the real day."""
    with gzip.open(REAL_DAY) as unpacked:
        rows = list(csv.DictReader(io.TextIOWrapper(unpacked, "utf-8", newline="")))
    numbers = {one.key: np.array([int(row[one.key] or 0) for row in rows], np.int64) for one in INTEGERS}
    return Drives([row["model"] for row in rows], np.array([row["failure"] == "1" for row in rows]), numbers)


async def settle(connection: asyncpg.Connection[Any]) -> Place:
    """Register the tenant and its attributes, and return them."""
    tenant_id = await connection.fetchval(SQL["bench_tenant"], SPREAD)
    rows = await connection.fetch(SQL["bench_keys"], tenant_id, [one.key for one in ATTRIBUTES])
    asset_type_id = await connection.fetchval(SQL["bench_asset_type"], tenant_id, ASSET_TYPE)
    return Place(tenant_id, asset_type_id, {row["attribute_key"]: row["attribute_id"] for row in rows})


def chunks(drives: Drives, place: Place, entities: int, seed: int = 7) -> Iterator[Rows]:
    """Yield the history of so many drives, each drawn from the real ones, entity after entity."""
    random = np.random.default_rng(seed)
    first_version = 1 << 55
    for begin in range(0, entities, CHUNK):
        count = min(CHUNK, entities - begin)
        draw = random.integers(0, len(drives.models), count)
        yield _chunk(drives, place, draw, begin, first_version + begin * PER_ENTITY)


def _chunk(drives: Drives, place: Place, draw: Integers, begin: int, version: int) -> Rows:
    order = sorted(ATTRIBUTES, key=lambda one: place.ids[one.key])
    cells = [(one, one.days - 1 - ago) for one in order for ago in range(one.days)]  # by time: the last is of today
    count, width = len(draw), len(cells)
    kinds = np.array([one.kind for one, _ in cells], np.int64)
    values: dict[ValueType, Any] = {
        ValueType.INT64: np.stack(
            [_observed(drives, one, ago, draw) for one, ago in cells if one.kind is ValueType.INT64], axis=1
        ).ravel(),
        ValueType.STRING: [
            drives.models[n] for n in draw.tolist() for _ in range(int((kinds == ValueType.STRING).sum()))
        ],
        ValueType.BOOL: np.repeat(drives.failed[draw], int((kinds == ValueType.BOOL).sum())),
    }
    every_kind = np.tile(kinds, count)
    places = np.zeros(count * width, np.int64)
    for kind in values:
        chosen = np.flatnonzero(every_kind == kind)
        places[chosen] = np.arange(len(chosen))
    ids = np.arange(begin, begin + count, dtype=np.int64)
    today = int(TODAY.timestamp()) * 1_000_000
    nothing = np.zeros(count * width, np.int64)
    return Rows(
        values,
        np.full(count * width, place.tenant_id, np.int64),
        np.repeat(ids, width),
        np.tile(np.array([place.ids[one.key] for one, _ in cells], np.int64), count),
        np.repeat(shards_of_ids(place.tenant_id, SPREAD, ids), width),
        every_kind,
        nothing,
        np.tile(np.array([today - ago * DAY_US for _, ago in cells], np.int64), count),
        version + np.arange(count * width, dtype=np.int64),
        nothing,
        nothing,
        places,
    )


def _observed(drives: Drives, one: Attribute, ago: int, draw: Integers) -> Integers:
    # Hours of running grow by a day's, all else stays as it was: most counters of most drives do.
    column = drives.numbers[one.key][draw]
    return np.maximum(column - 24 * ago, 0) if one.key == "smart_9_raw" else column


async def copy(connection: asyncpg.Connection[Any], rows: Rows) -> None:
    """Append rows to the history, as the product does."""
    frame = frame_of(rows)
    await connection.copy_to_table(
        "entity_attributes", source=_once(frame.octets), columns=frame.columns, format="binary"
    )


async def _once(octets: bytes) -> AsyncIterator[bytes]:
    yield octets


async def load_drives(connection: asyncpg.Connection[Any], drives: Drives, entities: int) -> tuple[Place, timedelta]:
    """Load the history, the entities, the slots and the documents; return where, and how long the history took."""
    place = await settle(connection)
    began = datetime.now(UTC)
    for rows in chunks(drives, place, entities):
        await copy(connection, rows)
    took = datetime.now(UTC) - began
    await connection.execute(slots_statement(place))
    await connection.execute(SQL["bench_entities"], place.tenant_id, place.asset_type_id)
    mapped = [place.ids[one.key] for one in ATTRIBUTES], [one.slot for one in ATTRIBUTES]
    await connection.execute(SQL["bench_mappings"], place.tenant_id, place.asset_type_id, *mapped)
    await connection.execute(SQL["bench_documents_table"])
    await connection.execute(documents_statement(place))
    return place, took


def slots_statement(place: Place) -> str:
    """Return the statement that fills the slots from the history; a mapping has the number of its attribute."""
    columns, values = [], []
    for one in ATTRIBUTES:
        number = place.ids[one.key]
        chosen = f"FILTER (WHERE attribute_id = {number})"
        value = {ValueType.INT64: "max(value_int)", ValueType.STRING: "max(value_text)"}.get(
            one.kind, "bool_or(value_bool)"
        )
        columns += [one.slot, *(f"{one.slot}_{part}" for part in ("mapping", "time", "version", "deleted"))]
        values += [f"{value} {chosen}", str(number), f"max(event_time) {chosen}", f"max(row_version) {chosen}", "false"]
    return (
        SQL["bench_slots"]
        .replace(":columns", ", ".join(columns))
        .replace(":values", ", ".join(values))
        .replace(":tenant", str(place.tenant_id))
    )


def documents_statement(place: Place) -> str:
    """Return the statement that makes one document of the current values of each drive."""
    pairs = ", ".join(f"'{one.key}', {one.slot}" for one in ATTRIBUTES)
    return SQL["bench_documents"].replace(":pairs", pairs).replace(":tenant", str(place.tenant_id))
