"""A row is changed beside values that PostgreSQL keeps out of line: what did not change arrives whole all the same."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Awaitable, Callable

from atlaskit.postgres.hot_slots import MAX_TEXT_BYTES

from .conftest import World

Eventually = Callable[..., Awaitable[None]]
TABLE, SHARD, ENTITY = "entity_hot_attributes", 4, 77
SLOTS = range(1, 7)
INSERT = (
    f"INSERT INTO {TABLE} (tenant_id, entity_id, shard, row_version, change, int_1, int_1_mapping, int_1_version, "
    f"{', '.join(f'text_{slot}, text_{slot}_mapping, text_{slot}_version' for slot in SLOTS)})"
    f" VALUES ($2::integer, {ENTITY}, {SHARD}, $1::bigint, 1, 1, 1, $1, "
    f"{', '.join(f'${slot + 2}::text, {slot + 1}, $1' for slot in SLOTS)})"
)
UPDATE = (
    f"UPDATE {TABLE} SET (row_version, change, int_1, int_1_version) = ($1::bigint, change + 1, 2, $1)"
    f" WHERE entity_id = {ENTITY}"
)
OUT_OF_LINE = (
    f"SELECT num_nonnulls({', '.join(f'pg_column_toast_chunk_id(text_{slot})' for slot in SLOTS)}) FROM {TABLE}"
)


async def test_a_value_out_of_line_that_did_not_change_arrives_as_it_is_and_not_as_a_placeholder(
    world: World, eventually: Eventually
) -> None:
    chance = random.Random(7)
    letters = string.ascii_letters + string.digits
    # As long as a slot takes; nothing of it can be compressed away.
    texts = ["".join(chance.choices(letters, k=MAX_TEXT_BYTES)) for _ in SLOTS]
    async with world.sink("first"):
        await world.change(TABLE, SHARD, INSERT, world.tenant, *texts)
        assert await world.primary.fetchval(OUT_OF_LINE) > 0
        await world.change(TABLE, SHARD, UPDATE)
        beat = await world.beat()

        async def proven() -> None:
            assert await world.proven(SHARD, TABLE) >= beat

        await eventually(proven)
    [[change, payload]] = await world.clickhouse.rows(
        f"SELECT change, payload FROM {TABLE} FINAL WHERE entity_id = {ENTITY}"
    )
    row = json.loads(payload)
    assert (change, row["int_1"]) == (2, 2)
    assert [row[f"text_{slot}"] for slot in SLOTS] == texts
