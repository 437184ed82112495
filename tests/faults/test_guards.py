"""What the stores are told to refuse, read back from the stores themselves: each leaf, each table, each role."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from atlas_cli.copies import count_copies
from atlas_client import AtlasClient, ColumnBuilder, Source, Tenant
from atlas_local.launch import Launched
from atlas_local.stack import LocalStack
from atlaskit.cdc.topics import CAPTURED

TABLES = tuple(captured.name.removeprefix("atlas.") for captured in CAPTURED)
ROLES = ("atlas_ingest", "atlas_reader", "atlas_monitor", "atlas_sink", "atlas_keeper", "atlas_debezium")
LEAVES = """
WITH RECURSIVE tree AS (
    SELECT oid FROM pg_class WHERE oid = ANY ($1::text[]::regclass[])
    UNION ALL SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid
)
SELECT tree.oid::regclass::text AS name, relkind = 'r' AS leaf, relreplident::text AS identity,
       EXISTS (SELECT FROM pg_index WHERE indrelid = tree.oid AND indisprimary) AS keyed
FROM tree JOIN pg_class USING (oid)
"""


@pytest.fixture
async def owner(stack: LocalStack) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(stack.primary_dsn())
    yield connection
    await connection.close()


async def clickhouse(stack: LocalStack, statement: str) -> list[list[str]]:
    async with httpx.AsyncClient(timeout=20.0) as client:
        answer = await client.post(stack.clickhouse_url, content=f"{statement} FORMAT TSV")
    return [line.split("\t") for line in answer.raise_for_status().text.splitlines()]


async def test_no_role_truncates_what_is_captured(stack: LocalStack, owner: asyncpg.Connection[asyncpg.Record]) -> None:
    found = await owner.fetch(LEAVES, TABLES)
    assert len(found) > len(TABLES)
    for row in found:
        with pytest.raises(asyncpg.RestrictViolationError, match="TRUNCATE of"):
            await owner.execute(f"TRUNCATE {row['name']}")
    for role in ("atlas_ingest", "atlas_sink", "atlas_keeper"):
        connection = await asyncpg.connect(stack.primary_dsn(role))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("TRUNCATE entity_attributes")
        await connection.close()


async def test_every_captured_table_and_its_beats_are_published(owner: asyncpg.Connection[asyncpg.Record]) -> None:
    rows = await owner.fetch("SELECT tablename FROM pg_publication_tables WHERE pubname = 'atlas_publication'")
    wanted = {*TABLES, *(f"{name}_beat" for name in TABLES)}
    assert {row["tablename"] for row in rows} == wanted


async def test_every_leaf_is_published_under_its_root_and_can_be_identified(
    owner: asyncpg.Connection[asyncpg.Record],
) -> None:
    published = await owner.fetchrow(
        "SELECT pubviaroot, pubtruncate FROM pg_publication WHERE pubname = 'atlas_publication'"
    )
    assert published is not None
    assert (published["pubviaroot"], published["pubtruncate"]) == (True, False)
    for row in await owner.fetch(LEAVES, TABLES):
        if row["leaf"]:
            assert row["identity"] == "f" or (row["identity"] == "d" and row["keyed"]), row["name"]


async def test_no_skip_index_stands_before_final(stack: LocalStack) -> None:
    assert (
        await clickhouse(stack, "SELECT table, name FROM system.data_skipping_indices WHERE database = 'atlas'") == []
    )


async def test_the_partition_of_a_row_is_a_function_of_its_identity(stack: LocalStack) -> None:
    tables = await clickhouse(
        stack,
        "SELECT name, partition_key, sorting_key FROM system.tables"
        " WHERE database = 'atlas' AND engine LIKE '%MergeTree' AND partition_key != ''",
    )
    assert tables
    for name, partition, sorting in tables:
        used = set(re.findall(r"\b[a-z_]+\b(?!\()", partition))
        assert used <= set(re.findall(r"\b[a-z_]+\b(?!\()", sorting)), name


async def test_no_role_of_a_service_detaches_or_drops_a_partition(
    stack: LocalStack, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    found = await owner.fetch(
        "SELECT inhparent::regclass::text AS parent, inhrelid::regclass::text AS leaf FROM pg_inherits"
        " JOIN pg_class ON pg_class.oid = inhrelid WHERE relkind IN ('r', 'p')"
        " AND pg_partition_root(inhrelid) = ANY ($1::text[]::regclass[])",
        TABLES,
    )
    assert len(found) > 50
    for role in ROLES:
        connection = await asyncpg.connect(stack.primary_dsn(role))
        try:
            for row in found:
                for statement in (
                    f"ALTER TABLE {row['parent']} DETACH PARTITION {row['leaf']}",
                    f"ALTER TABLE {row['parent']} DETACH PARTITION {row['leaf']} CONCURRENTLY",
                    f"DROP TABLE {row['leaf']}",
                ):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(statement)
        finally:
            await connection.close()


async def test_a_partition_that_its_owner_detaches_is_missing_in_postgresql_alone_and_the_counts_of_the_copies_tell(
    atlas: Launched,
    client: AtlasClient,
    new_tenant: Callable[..., Awaitable[Tenant]],
    owner: asyncpg.Connection[asyncpg.Record],
    eventually: Callable[..., Awaitable[None]],
) -> None:
    tenant, builder = await new_tenant(), ColumnBuilder()
    for number in range(30):
        builder.add("e", "k", number, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number))
    written = await client.write_columns(tenant.tenant_id, builder.build())

    async def seen() -> dict[str, int]:
        for source in (Source.REPLICA, Source.OLAP):  # also that ClickHouse's claim goes on
            await client.wait_for_position(tenant.tenant_id, written.token, source, timeout=timedelta(seconds=30))
        stack = atlas.stack
        url = f"{stack.clickhouse_url}/atlas"
        held = await count_copies(stack.primary_dsn(), stack.replica_dsn(), url, tenant.name)
        return {copy: counted.values for copy, counted in held.items()}

    def sees(values: int) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            assert await seen() == {"primary": values, "replica": values, "olap": 30}

        return check

    await eventually(sees(30))
    [[leaf, parent, bounds]] = await owner.fetch(
        "SELECT DISTINCT leaf.oid::regclass::text, inhparent::regclass::text, pg_get_expr(leaf.relpartbound, leaf.oid)"
        " FROM entity_attributes AS row JOIN pg_class AS leaf ON leaf.oid = row.tableoid"
        " JOIN pg_inherits ON inhrelid = leaf.oid WHERE tenant_id = $1",
        tenant.tenant_id,
    )
    await owner.execute(f"ALTER TABLE {parent} DETACH PARTITION {leaf}")
    try:
        await eventually(sees(0))
    finally:
        await owner.execute(f"ALTER TABLE {parent} ATTACH PARTITION {leaf} {bounds}")
    await eventually(sees(30))
