"""What a binary frame stores is what the driver's own encoder stores, bit for bit."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import numpy as np
from atlaskit.batch import DELETED_AT_US, EPOCH, Column, Integers
from atlaskit.model import SHARD_COUNT, SPREADS, Deletion, ValueType, shard_of
from atlaskit.postgres.frames import frame_of, numerics_of
from atlaskit.postgres.history import Rows, shards_of_ids
from hypothesis import given
from hypothesis import strategies as st

COLUMNS = [
    "tenant_id",
    "entity_id",
    "attribute_id",
    "shard",
    "value_type",
    "deletion",
    "event_time",
    "row_version",
    "asset_type_id",
    "source_type_id",
    "value_int",
    "value_uint",
    "value_double",
    "value_bool",
    "value_text",
    "value_bytes",
]
VALUES: dict[ValueType, Column] = {
    ValueType.INT64: np.array([-(2**63), -1, 0, 2**63 - 1], np.int64),
    ValueType.UINT64: np.array([0, 1, 9_999, 10_000, 10_000_000, 2**63, 10**19, 2**64 - 1], np.uint64),
    ValueType.DOUBLE: np.array([-0.0, 5e-324, -1.7976931348623157e308, 0.1], np.float64),
    ValueType.BOOL: np.array([False, True], np.bool_),
    ValueType.STRING: ["", "µ\r\r\n", "气温 🌡", "x" * 65_536],
    ValueType.BYTES: [b"", b"\0\xff", bytes(range(256)) * 256],
}
LATEST_US = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def history(kinds: list[ValueType], *, labelled: bool, deletions: bool) -> Rows:
    """Each value of these types once, in turn with and without labels, and perhaps a delete of each kind."""
    found = [(int(kind), place) for kind in kinds for place in range(len(VALUES[kind]))]
    hides = [int(deletion) for deletion in Deletion if deletion] if deletions else []
    count = len(found) + len(hides)

    def column(*numbers: int) -> Integers:
        return np.array(numbers, np.int64)

    numbers = np.arange(count, dtype=np.int64)
    label = (numbers % 3) * labelled
    return Rows(
        values={kind: VALUES[kind] for kind in kinds},
        tenant_ids=numbers % 2 + 1,
        entity_ids=np.where(numbers % 2 == 0, 2**63 - 1, numbers),
        attribute_ids=np.where(numbers % 2 == 0, 2**31 - 1, numbers),
        shards=numbers % SHARD_COUNT,
        value_types=column(*(kind for kind, _ in found), *[0] * len(hides)),
        deletions=column(*[0] * len(found), *hides),
        event_times_us=np.where(numbers % 2 == 0, LATEST_US, DELETED_AT_US if deletions else 1),
        versions=numbers + 2**62,
        asset_type_ids=label,
        source_type_ids=label[::-1].copy(),
        places=column(*(place for _, place in found), *[0] * len(hides)),
    )


def tuples(rows: Rows) -> list[tuple[Any, ...]]:
    """The same rows for the driver's encoder."""
    records = []
    for n in range(len(rows)):
        record: dict[str, Any] = dict.fromkeys(COLUMNS)
        for name, source in zip(COLUMNS[:8], (
            rows.tenant_ids, rows.entity_ids, rows.attribute_ids, rows.shards, rows.value_types, rows.deletions,
            rows.event_times_us, rows.versions,
        ), strict=True):  # fmt: skip
            record[name] = int(source[n])
        record["event_time"] = EPOCH + timedelta(microseconds=record["event_time"])
        record["asset_type_id"] = int(rows.asset_type_ids[n]) or None
        record["source_type_id"] = int(rows.source_type_ids[n]) or None
        if kind := record["value_type"]:
            value: Any = rows.values[ValueType(kind)][rows.places[n]]
            value = value.item() if isinstance(value, np.generic) else value
            record[COLUMNS[9 + kind]] = Decimal(value) if kind == ValueType.UINT64 else value
        records.append(tuple(record[name] for name in COLUMNS))
    return records


async def stored(connection: Any, table: str) -> list[tuple[Any, ...]]:
    rows = await connection.fetch(f"SELECT {', '.join(COLUMNS)} FROM {table} ORDER BY row_version")
    return [tuple(struct.pack(">d", v) if isinstance(v, float) else v for v in row) for row in rows]


async def test_a_frame_stores_what_the_drivers_encoder_stores(database: Any) -> None:
    kinds = list(ValueType)
    cases = [([kind], labelled, False) for kind in kinds for labelled in (False, True)]
    cases += [(kinds, labelled, deletions) for labelled in (False, True) for deletions in (False, True)]
    cases += [([ValueType.STRING, ValueType.BYTES], True, True), ([], False, True)]
    connection = await asyncpg.connect(database.primary.dsn(database=database.name))
    try:
        for table in ("by_frame", "by_driver"):
            await connection.execute(f"CREATE TEMP TABLE {table} (LIKE entity_attributes INCLUDING ALL)")
        for chosen, labelled, deletions in cases:
            rows = history(chosen, labelled=labelled, deletions=deletions)
            await connection.execute("TRUNCATE by_frame, by_driver")
            await connection.copy_records_to_table("by_driver", columns=COLUMNS, records=tuples(rows))
            frame = frame_of(rows)

            async def pieces(octets: bytes = frame.octets) -> Any:
                yield octets

            await connection.copy_to_table("by_frame", source=pieces(), columns=frame.columns, format="binary")
            assert await stored(connection, "by_frame") == await stored(connection, "by_driver")
            assert len(await stored(connection, "by_frame")) == len(rows)
    finally:
        await connection.close()


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_a_numeric_has_the_digits_of_its_number(numbers: list[int]) -> None:
    for number, octets in zip(numbers, numerics_of(np.array(numbers, np.uint64)), strict=True):
        count, weight, sign, scale, *digits = struct.unpack(">9h", octets.tobytes())
        assert (count, weight, sign, scale) == (5, 4, 0, 0)
        assert sum(digit * 10_000 ** (4 - place) for place, digit in enumerate(digits)) == number


@given(st.integers(1, 2**31 - 1), st.sampled_from(SPREADS), st.lists(st.integers(0, 2**63 - 1)))
def test_shards_of_many_are_those_of_each(tenant: int, spread: int, entities: list[int]) -> None:
    many = shards_of_ids(tenant, spread, np.array(entities, np.int64))
    assert many.tolist() == [shard_of(tenant, spread, entity) for entity in entities]
