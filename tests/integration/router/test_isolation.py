"""A tenant never sees another's data: PostgreSQL itself holds, whatever a statement leaves out or is given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlaskit.model import TypedValue, ValueType
from doubles.canaries import CORPUS, ENTITY, answer, canaries, requests, shapes, shown
from doubles.statements import statements, unchanged, without_tenant
from grpc import StatusCode

from .seeded import Database
from .worlds import NOON, World, routed

TENANTS = 3
SOURCES = (fpb.DATA_SOURCE_PRIMARY, fpb.DATA_SOURCE_REPLICA)
# What a reader may read without a policy: no tenant's data. Of the ledger only where each transaction stands.
WITHOUT_POLICY = {"source_types", "tenants", "tenant_grants", "epochs", "ingest_batches"}


@dataclass
class Seeded:
    """Tenants with the same entities and keys, each value a canary of its own."""

    world: World
    tenants: list[int]


async def seed(database: Database) -> list[int]:
    tenants = [await database.tenant("numbered") for _ in range(TENANTS)]
    for tenant in tenants:
        await database.entity(tenant, ENTITY, f"canary-entity-{tenant}-")
        await database.value(tenant, ENTITY, "k", NOON, TypedValue(ValueType.INT64, 7_000_000 + tenant))
        text = TypedValue(ValueType.STRING, f"canary-value-{tenant}-")
        await database.value(tenant, ENTITY, f"canary-key-{tenant}-", NOON, text)
        await database.value(tenant, ENTITY, "text", NOON, text)
        octets = TypedValue(ValueType.BYTES, f"canary-octets-{tenant}-".encode())
        await database.value(tenant, ENTITY, "octets", NOON, octets)
    await database.replicated()
    return tenants


@pytest.fixture
async def seeded(database: Database, eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[Seeded]:
    tenants = await seed(database)
    # One connection of each kind: every read comes after that of another tenant on it.
    kinds = ("_connections", "_analytical_connections")
    one = {store + kind: 1 for store in ("primary", "replica") for kind in kinds}
    async with routed(database, eventually, **one) as world:
        yield Seeded(world, tenants)


async def all_answers(seeded: Seeded, source: int, *, may_fail: bool = False) -> dict[tuple[int, str], bytes | None]:
    """The answers to every kind of request of every tenant, asked at once and in a random order."""
    asked = [
        (tenant, name, request)
        for tenant in seeded.tenants
        for name, request in requests(tenant, seeded.tenants, source).items()
    ]
    random.Random(7).shuffle(asked)
    answers = await asyncio.gather(*(answer(seeded.world.router, request, may_fail=may_fail) for *_, request in asked))
    return {(tenant, name): encoded for (tenant, name, _), encoded in zip(asked, answers, strict=True)}


@pytest.mark.parametrize("source", SOURCES)
async def test_no_answer_shows_another_tenants_data_even_with_the_tenant_left_out_of_every_statement(
    seeded: Seeded, source: int
) -> None:
    plain = await all_answers(seeded, source)
    for tenant in seeded.tenants:
        for name in ("entity", "named", "list", "filter", "history", "by key", "top", "keys"):
            assert canaries(plain[tenant, name] or b"", seeded.tenants) == {tenant}, name
    with statements(without_tenant) as sent:
        for _ in range(3):
            assert await all_answers(seeded, source) == plain
    data = [sql for sql in sent if "entity_attributes" in sql]
    assert data
    assert all(without_tenant(sql) != sql for sql in data)
    assert all(seen <= {tenant} for (tenant, _), seen in shown(plain, seeded.tenants).items())


async def test_without_the_policy_the_same_statements_would_show_it(
    database: Database, eventually: Callable[..., Awaitable[None]]
) -> None:
    tenants = await seed(database)
    async with routed(database, eventually, postgres_dsn=database.cluster.primary.dsn(database=database.name)) as world:
        unguarded = Seeded(world, tenants)
        for change, leaks in ((unchanged, False), (without_tenant, True)):
            with statements(change):
                answers = await all_answers(unguarded, fpb.DATA_SOURCE_PRIMARY, may_fail=leaks)
            seen = shown(answers, tenants)
            assert any(others - {tenant} for (tenant, _), others in seen.items()) is leaks


async def test_a_reader_reads_no_leaf_and_nothing_without_a_policy_but_what_is_nobodys(database: Database) -> None:
    await seed(database)
    reader = await asyncpg.connect(database.primary())
    try:
        leaves = await database.connection.fetch(
            "SELECT oid::regclass::text AS leaf FROM pg_class WHERE relispartition AND relkind IN ('r', 'p')"
        )
        assert len(leaves) > 40
        for row in leaves:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(f"SELECT 1 FROM {row['leaf']}")
        readable = await database.connection.fetch(
            "SELECT relname, relrowsecurity AND relforcerowsecurity AS forced, relowner::regrole::text AS owner "
            "FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') "
            "AND has_any_column_privilege('atlas_reader', oid, 'SELECT')"
        )
        assert {row["relname"] for row in readable if not row["forced"]} == WITHOUT_POLICY
        assert all(row["owner"] != "atlas_reader" for row in readable)
        for column in ("entries", "traceparents", "writer"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(f"SELECT {column} FROM ingest_batches")
        role = await database.connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = 'atlas_reader'")
        assert role is not None
        assert not any(role[power] for power in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb"))
        assert await reader.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = 'atlas_reader'::regrole "
                                     "AND roleid <> 'pg_read_all_stats'::regrole") == 0  # fmt: skip
    finally:
        await reader.close()


async def test_a_reader_that_names_no_tenant_sees_nothing_and_a_name_ends_with_its_transaction(
    database: Database,
) -> None:
    one, *_ = await seed(database)
    reader = await asyncpg.connect(database.primary())
    tables = ("entities", "entity_attributes", "attribute_keys", "asset_types", "entity_hot_attributes")
    try:
        for told in (None, "", str(one)):
            async with reader.transaction():
                if told is not None:
                    await reader.fetchval("SELECT set_config('atlas.tenant_id', $1, true)", told)
                counts = [await reader.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
            assert any(counts) is (told == str(one))
        assert [await reader.fetchval(f"SELECT count(*) FROM {table}") for table in tables] == [0] * len(tables)
        insert = "INSERT INTO attribute_keys (tenant_id, attribute_key, row_version) VALUES (1, 'x', 1)"
        for statement in ("SET ROLE atlas_ingest", "SET row_security = off; SELECT count(*) FROM entities", insert):
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.PostgresError)):
                await reader.execute(statement)
            await reader.execute("RESET row_security")
    finally:
        await reader.close()


async def sent_for(world: World, request: Any) -> tuple[list[str], StatusCode]:
    """What a request sends, and how it ends."""
    request.freshness.only_source = fpb.DATA_SOURCE_PRIMARY
    method = getattr(world.router, type(request).__name__.removesuffix("Request"))
    with statements() as sent:
        code = await method(request, timeout=30).code()
    return sent, code


async def test_the_text_of_a_statement_is_constant_per_shape_whatever_a_caller_writes(world: World) -> None:
    expected = {name: await sent_for(world, request) for name, request in shapes(world.tenant, "plain").items()}
    assert {code for _, code in expected.values()} <= {StatusCode.OK, StatusCode.NOT_FOUND}
    for name in expected:
        assert any("entit" in sql or "attribute_keys" in sql for sql in expected[name][0]), name
    for text in CORPUS:
        for name, request in shapes(world.tenant, text).items():
            assert await sent_for(world, request) == expected[name], (name, text)
