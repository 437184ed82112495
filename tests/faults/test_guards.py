"""What the stores are told to refuse, read back from the stores themselves: each leaf, each table, each role."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from atlas_local.stack import LocalStack
from atlaskit.cdc.topics import CAPTURED

TABLES = tuple(captured.name.removeprefix("atlas.") for captured in CAPTURED)
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
