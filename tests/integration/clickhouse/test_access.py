"""What infra/clickhouse says to a real server, as far as the embedded engine can tell, which has no users."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from atlaskit.clickhouse.pool import ClickHouse

ACCESS = Path(__file__).parents[3] / "infra/clickhouse/access.sql"
TABLES_OF_NOBODY = {"olap_watermarks", "olap_incarnation"}
READ = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name <> 'schema_migrations'"
WITH_TENANT = "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'tenant_id'"
SETTING = "getSettingOrDefault('SQL_atlas_tenants', '')"


def statements() -> list[str]:
    lines = [line for line in ACCESS.read_text().splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def policies() -> dict[tuple[str, str], str]:
    """The condition of each policy, by role and table."""
    pattern = re.compile(
        r"CREATE ROW POLICY IF NOT EXISTS \w+ ON atlas\.(\w+) FOR SELECT\s+USING (.*) AS PERMISSIVE TO (\w+)"
    )
    found = [pattern.fullmatch(statement) for statement in statements() if statement.startswith("CREATE ROW POLICY")]
    assert all(found)
    return {(match[3], match[1]): match[2] for match in found if match is not None}


def granted(role: str) -> dict[str, set[str]]:
    """What a role may do with each table and view."""
    pattern = re.compile(r"GRANT ([A-Z, ]+) ON atlas\.(\w+) TO (.*)")
    found = [match for statement in statements() if (match := pattern.fullmatch(statement)) is not None]
    return {match[2]: set(match[1].split(", ")) for match in found if role in match[3].split(", ")}


@pytest.mark.parametrize("statement", statements(), ids=lambda statement: " ".join(statement.split()[:7]))
async def test_every_statement_is_one_of_clickhouse(clickhouse: ClickHouse, statement: str) -> None:
    assert await clickhouse.rows("SELECT formatQuery({statement:String})", {"statement": statement})


async def test_every_table_with_a_tenant_has_a_policy_for_readers_and_one_for_the_sink(clickhouse: ClickHouse) -> None:
    tables = {row[0] for row in await clickhouse.rows(WITH_TENANT)}
    assert tables >= {"entities", "entity_analytics_events"}
    for role in ("atlas_reader", "atlas_sink"):
        assert {table for of, table in policies() if of == role} == tables, role


async def test_a_reader_may_read_everything_and_do_nothing_else(clickhouse: ClickHouse) -> None:
    names = {row[0] for row in await clickhouse.rows(READ)}
    assert granted("atlas_reader") == {name: {"SELECT"} for name in names}
    assert granted("atlas_monitor") == {name: {"SELECT"} for name in ("proven_watermarks", *TABLES_OF_NOBODY)}
    tables = {row[0] for row in await clickhouse.rows(WITH_TENANT)}
    assert all(granted("atlas_sink")[table] >= {"SELECT", "INSERT"} for table in (*tables, *TABLES_OF_NOBODY))


async def test_the_condition_of_a_policy_shows_the_tenants_named_and_nothing_when_none_is(
    clickhouse: ClickHouse,
) -> None:
    (condition,) = {text for (role, _), text in policies().items() if role == "atlas_reader"}
    assert SETTING in condition
    rows = "SELECT arraySort(groupUniqArray(tenant_id)) FROM (SELECT toUInt32(number) AS tenant_id FROM numbers(130))"
    cases = {"": [], "7": [7], "12": [12], "1,12": [1, 12], "7,": [7], "' OR 1": [], "200": []}
    for named, seen in cases.items():
        told = condition.replace(SETTING, "{named:String}")
        assert await clickhouse.rows(f"{rows} WHERE {told}", {"named": named}) == [(seen,)], named
    # Where a query does not say, the setting has no value.
    assert await clickhouse.rows(f"{rows} WHERE {condition}") == [([],)]
