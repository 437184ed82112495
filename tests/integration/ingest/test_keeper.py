"""The keeper: what it says it would do is what it does, and twice is once."""

from __future__ import annotations

import asyncio
import io
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from atlas_keeper.job import main

# All that a table has but its name and bounds: columns, constraints, indexes within those of its parent, triggers.
PROPERTIES = """
WITH leaf AS (SELECT $1::text::regclass AS oid, $1::text AS name)
SELECT 'column', attnum::text, format('%s %s %s %s %s', attname, atttypid::regtype, atttypmod, attnotnull, attstorage)
    || coalesce(pg_get_expr(adbin, adrelid), '')
FROM leaf JOIN pg_attribute ON attrelid = leaf.oid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0
UNION ALL SELECT 'constraint', contype::text, format('%s %s %s', pg_get_constraintdef(c.oid), conislocal, coninhcount)
FROM leaf JOIN pg_constraint AS c ON conrelid = leaf.oid
UNION ALL SELECT 'index', inhparent::regclass::text, replace(pg_get_indexdef(indexrelid), leaf.name, '')
FROM leaf JOIN pg_index ON indrelid = leaf.oid LEFT JOIN pg_inherits ON inhrelid = indexrelid
UNION ALL SELECT 'trigger', tgname, replace(pg_get_triggerdef(t.oid), leaf.name, '')
FROM leaf JOIN pg_trigger AS t ON tgrelid = leaf.oid
UNION ALL SELECT 'table', '',
    format('%s %s %s %s %s', relreplident, relrowsecurity, relforcerowsecurity, relacl, relowner)
FROM leaf JOIN pg_class ON pg_class.oid = leaf.oid
"""
PARTITIONS = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relispartition"


def run(database: Any, *arguments: str, **settings: str) -> tuple[int, list[str]]:
    """Run the job in a thread's own loop and return its status and its lines."""
    out, err = io.StringIO(), io.StringIO()
    environ = {"ATLAS_POSTGRES_DSN": database.dsn("atlas_keeper"), **settings}
    with redirect_stdout(out), redirect_stderr(err):
        status = main(arguments, environ)
    return status, (out.getvalue() + err.getvalue()).splitlines()


async def in_thread(database: Any, *arguments: str, **settings: str) -> tuple[int, list[str]]:
    return await asyncio.to_thread(run, database, *arguments, **settings)


async def test_a_dry_run_names_what_the_run_then_creates_and_a_second_run_finds_nothing(database: Any) -> None:
    before = await database.value(PARTITIONS)
    status, planned = await in_thread(database, "--dry-run", ATLAS_MONTHS_AHEAD="3")
    assert (status, await database.value(PARTITIONS)) == (0, before)
    status, done = await in_thread(database, ATLAS_MONTHS_AHEAD="3")
    assert status == 0
    named = [line.split()[1] for line in planned if line.startswith("partition ")]
    assert named == [line.split()[1] for line in done if line.startswith("partition ")]
    assert await database.value(PARTITIONS) == before + len(named) > before
    status, again = await in_thread(database, ATLAS_MONTHS_AHEAD="3")
    assert (status, [line for line in again if line.startswith("partition ")]) == (0, [])


async def test_a_partition_that_was_attached_is_as_one_that_was_made_in_its_place(database: Any) -> None:
    await in_thread(database, ATLAS_MONTHS_AHEAD="3", ATLAS_DAYS_AHEAD="30")
    for parent in ("entity_attributes_h3", "ingest_batches"):
        await database.fetch(
            f"CREATE TABLE made PARTITION OF {parent} FOR VALUES FROM ('2001-01-01Z') TO ('2001-02-01Z')"
        )
        await database.fetch("SELECT guard_against_truncate('made'::regclass)")
        newest = await database.value(
            "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = $1::text::regclass"
            " AND inhrelid <> 'made'::regclass",
            parent,
        )
        attached, made = [set(map(tuple, await database.fetch(PROPERTIES, leaf))) for leaf in (newest, "made")]
        assert attached == made
        assert len(made) > 20
        await database.fetch("DROP TABLE made")


async def test_answers_are_forgotten_after_a_day_and_not_before(database: Any) -> None:
    await database.fetch(
        "INSERT INTO tenants (name, identity, spread, key_quota, entity_hash_key) "
        "VALUES ('t', 'keyed', 1, 1, decode(repeat('00', 16), 'hex'))"
    )
    await database.fetch(
        "INSERT INTO ingest_requests SELECT 1, gen_random_uuid(), decode(repeat('00', 32), 'hex'), '', "
        "now() - make_interval(hours => n) FROM generate_series(20, 29) AS n"
    )
    status, lines = await in_thread(database, "--dry-run")
    assert status == 0
    assert "6 stored answers are older" in lines[-1]
    status, lines = await in_thread(database, ATLAS_REQUEST_BATCH="2", ATLAS_REQUEST_BATCHES="2")
    assert (status, lines[-1]) == (0, "requests: 4 stored answers forgotten; more are left for the next run")
    await in_thread(database, ATLAS_REQUEST_BATCH="2")
    assert await database.value("SELECT count(*) FROM ingest_requests") == 4


async def test_the_exit_status_tells_wrong_settings_from_an_absent_store(database: Any) -> None:
    status, lines = await in_thread(database, ATLAS_REQUEST_AGE="1h")
    assert status == 78
    assert "ATLAS_REQUEST_AGE" in "".join(lines)
    status, lines = await in_thread(database, ATLAS_POSTGRES_DSN="postgres://x@127.0.0.1:1/x")
    assert status == 1
    assert "keeper: " in lines[0]
