"""What reads touch: leaves of the tenant's own hash partition, by their indexes; no other, whichever plan is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from atlas_query_router.postgres_backends import by_values
from atlaskit.clock import SystemClock
from atlaskit.model import TypedValue, ValueType
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.reader import Reader, reading
from atlaskit.selection.conditions import Operator, passing_tests
from atlaskit.selection.predicates import AllOf, Comparison, OfAssetType
from atlaskit.selection.searches import EntitySearch

from .seeded import Database
from .test_reader import LIMIT, NOON

ENTITIES, TIMES = 2000, 10
LAST_FIVE = list(range(ENTITIES - 4, ENTITIES + 1))
AGAIN = 8  # the server may settle on one plan for all values at the sixth time
TABLES = ("entities", "entity_attributes", "entity_hot_attributes")
Read = Callable[[Reader], Awaitable[Any]]


async def filled(database: Database) -> int:
    """Return a tenant with entities of a type and two attributes, of which `hot` is promoted, over several months."""
    tenant = await database.tenant("numbered")
    connection = database.connection
    await connection.fetch("SELECT ensure_partitions(3, 1)")
    kind = await connection.fetchval(
        "INSERT INTO asset_types (tenant_id, asset_type, row_version) VALUES ($1, 'disk', 1) RETURNING asset_type_id",
        tenant,
    )
    keys = [await database.attribute(tenant, key) for key in ("hot", "cold")]
    await connection.execute(
        "INSERT INTO entities (tenant_id, entity_id, shard, asset_type_id, row_version) "
        "SELECT $1, n, $2, $3, n FROM generate_series(1, $4) AS n",
        tenant, tenant % 10, kind, ENTITIES,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, event_time, created_at, "
        "row_version, value_int) SELECT $1, n, a, $2, 1, $5::timestamptz + make_interval(secs => t), "
        "now() + make_interval(months => t % 2), n * 1000 + t, n FROM generate_series(1, $4) AS n, "
        "unnest($3::int[]) AS a, generate_series(1, $6) AS t",
        tenant, tenant % 10, keys, ENTITIES, NOON, TIMES,
    )  # fmt: skip
    mapping = await connection.fetchval(
        "INSERT INTO hot_attribute_slots (tenant_id, asset_type_id, attribute_id, slot, state) "
        "VALUES ($1, $2, $3, 'int_1', 'READY') RETURNING mapping_id",
        tenant, kind, keys[0],
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO entity_hot_attributes (tenant_id, entity_id, shard, row_version, change, int_1, int_1_mapping, "
        "int_1_time, int_1_version, int_1_deleted) "
        "SELECT $1, n, $2, n, 1, n, $3, $5, n * 1000, false FROM generate_series(1, $4) AS n",
        tenant, tenant % 10, mapping, ENTITIES, NOON + timedelta(seconds=TIMES),
    )  # fmt: skip
    await connection.execute("ANALYZE")
    return tenant


def search(tenant: int, key: str) -> EntitySearch:
    tests = passing_tests(Operator.GREATER, [TypedValue(ValueType.INT64, ENTITIES - 5)])
    return EntitySearch(tenant, AllOf((OfAssetType("disk"), Comparison(key, tests))), (), (), None, None, 10)


@asynccontextmanager
async def reader_of(database: Database, tenant: int, *, planned_anew: bool) -> AsyncIterator[Reader]:
    async with (
        open_pool(database.primary(), max_size=1, leaves_nothing=True) as pool,
        reading(pool, (tenant,), LIMIT, planned_anew=planned_anew) as reader,
    ):
        await reader.probe_primary(SystemClock())
        yield reader


async def touched(reader: Reader, tenant: int) -> tuple[set[str], set[str], set[str]]:
    """Return the leaves that this transaction scanned: by an index, from end to end, and those of other tenants.

    A leaf without rows, of a month to come, is as well read from end to end."""
    rows = await reader._session.fetch(
        "SELECT leaf.relname, root.relname AS root, satisfies_hash_partition(root.oid, 10, "
        "substring(leaf.relname FROM '_h([0-9])')::integer, $2::integer) AS own, "
        "CASE WHEN leaf.reltuples > 0 THEN pg_stat_get_xact_numscans(leaf.oid) ELSE 0 END AS whole, "
        "(SELECT sum(pg_stat_get_xact_numscans(indexrelid)) FROM pg_index WHERE indrelid = leaf.oid) AS by_index "
        "FROM pg_class AS leaf JOIN pg_class AS root ON root.oid = pg_partition_root(leaf.oid) "
        "WHERE leaf.relkind = 'r' AND leaf.relispartition AND root.relname = ANY ($1::text[])",
        TABLES, tenant,
    )  # fmt: skip
    scanned = [row for row in rows if row["whole"] or row["by_index"]]
    return (
        {row["relname"] for row in scanned if row["by_index"]},
        {row["relname"] for row in scanned if row["whole"]},
        {row["relname"] for row in scanned if not row["own"]},
    )


READS: dict[str, tuple[Read, set[str]]] = {
    "all values of an entity": (lambda r: r.entity(77), {"entities", "entity_attributes"}),
    "some values of an entity": (lambda r: r.entity(77, attributes=["hot", "cold"]), {"entities", "entity_attributes"}),
    "history between bounds": (
        lambda r: r.history(77, "cold", start=NOON + timedelta(seconds=3), end=NOON + timedelta(seconds=6), most=100),
        {"entity_attributes"},
    ),
    "entities by id": (lambda r: r.entities(70, 5, attributes=["cold"]), {"entities", "entity_attributes"}),
}


@pytest.mark.parametrize("name", READS)
async def test_a_read_of_entities_touches_the_tenants_leaves_by_their_indexes_and_no_other(
    database: Database, name: str
) -> None:
    read, tables = READS[name]
    tenant = await filled(database)
    async with reader_of(database, tenant, planned_anew=False) as reader:
        for _ in range(AGAIN):
            assert await read(reader)
        by_index, whole, others = await touched(reader, tenant)
    assert not whole, whole
    assert not others, others
    assert {leaf.partition("_h")[0] if "hot" not in leaf else "entity_hot_attributes" for leaf in by_index} == tables


async def test_a_search_by_slots_touches_no_history_and_one_leaf_of_each_table(database: Database) -> None:
    tenant = await filled(database)
    wanted = search(tenant, "hot")
    assert by_values(wanted)
    async with reader_of(database, tenant, planned_anew=True) as reader:
        for _ in range(AGAIN):
            assert [one.state.entity_id for one in await reader.search(wanted)] == LAST_FIVE
        assert reader.slotted == ("hot",)
        by_index, whole, others = await touched(reader, tenant)
    assert not whole, whole
    assert not others, others
    assert len(by_index) == 2, by_index
    assert not any(leaf.startswith("entity_attributes") for leaf in by_index)


async def test_a_search_by_history_touches_the_tenants_leaves_alone(database: Database) -> None:
    tenant = await filled(database)
    async with reader_of(database, tenant, planned_anew=True) as reader:
        found = await reader.search(search(tenant, "cold"))
        assert [one.state.entity_id for one in found] == LAST_FIVE
        assert reader.slotted == ()
        by_index, whole, others = await touched(reader, tenant)
    assert not others, others
    # All entities have to be looked at; their history is not read from end to end.
    assert not any(leaf.startswith("entity_attributes") for leaf in whole), whole
    assert any(leaf.startswith("entity_attributes") for leaf in by_index)


async def test_a_search_is_planned_for_its_values_however_often_it_was_asked(database: Database) -> None:
    tenant = await filled(database)
    async with reader_of(database, tenant, planned_anew=True) as reader:
        for _ in range(AGAIN):
            await reader.search(search(tenant, "hot"))
        assert await reader._session.value("SHOW plan_cache_mode") == "force_custom_plan"
        [plans] = await reader._session.fetch(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH page%'"
        )
    assert (plans["generic_plans"], plans["custom_plans"]) == (0, AGAIN)
