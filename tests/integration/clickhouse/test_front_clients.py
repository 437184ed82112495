"""clickhouse-connect and dbmate use the front as they use a server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError


@pytest.fixture
def client(front: Any) -> Iterator[Any]:
    arguments: dict[str, Any] = {"host": "127.0.0.1", "port": front.port, "database": "default", "tz_mode": "aware"}
    with clickhouse_connect.get_client(**arguments) as opened:
        yield opened


@pytest.fixture
def table(client: Any) -> str:
    name = f"t_{uuid4().hex}"
    client.command(f"CREATE TABLE {name} (a UInt64, s String, d DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY a")
    return name


def test_the_client_speaks_the_protocol_revision_it_wants(client: Any) -> None:
    assert client.protocol_version == 54405


def test_every_type_comes_back_as_it_went_in(client: Any) -> None:
    name = f"types_{uuid4().hex}"
    columns = {
        "i": ("Int64", -(2**63)),
        "u": ("UInt64", 2**64 - 1),
        "f": ("Float64", 5e-324),
        "b": ("Bool", True),
        "s": ("String", "tab\tnul\0'; --"),
        "l": ("LowCardinality(String)", "low"),
        "n": ("Nullable(String)", None),
        "a": ("Array(LowCardinality(String))", ["x", "y"]),
        "m": ("Map(String, UInt8)", {"k": 1}),
        "t": ("Tuple(UInt8, String)", (1, "one")),
        "e": ("Enum8('one' = 1, 'a,b)' = 2)", "a,b)"),
        "d": ("DateTime64(6, 'UTC')", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)),
        "g": ("Decimal(38, 2)", Decimal("-12345678901234567890.12")),
        "x": ("UUID", UUID(int=7)),
        "z": ("FixedString(3)", b"a;b"),
    }
    client.command(f"CREATE TABLE {name} ({', '.join(f'{k} {v[0]}' for k, v in columns.items())}) ENGINE = Memory")
    client.insert(name, [[value for _, value in columns.values()]], column_names=list(columns))
    assert client.query(f"SELECT * FROM {name}").first_row == tuple(value for _, value in columns.values())
    revised = client.raw_query(f"SELECT * FROM {name}", settings={"client_protocol_version": 54460}, fmt="Native")
    plain = client.raw_query(f"SELECT * FROM {name}", fmt="Native")
    assert len(revised) == len(plain) + 8 + len(columns)


def test_parameters_reach_the_server_whole(client: Any) -> None:
    given = {"s": "it's\t\n\\;{}", "i": -5, "a": ["a", "b'c;"], "n": None}
    query = "SELECT {s:String}, {i:Int64}, {a:Array(String)}, {n:Nullable(String)}"
    assert client.query(query, parameters=given).first_row == tuple(given.values())


def test_parameters_too_long_for_a_url_go_by_form(client: Any) -> None:
    long = ["ü;" * 50] * 500
    assert client.query("SELECT length({a:Array(String)}), {a:Array(String)}[1]", parameters={"a": long}).first_row == (
        500,
        long[0],
    )


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_binary_that_looks_like_sql_is_stored_whole(front: Any, client: Any, table: str, compress: str | bool) -> None:
    randomness = random.Random(7)
    hostile = [
        b";",
        b"\n",
        b"'",
        b"`",
        b"FORMAT Native\n",
        b"--",
        b"/*",
        b"\x00",
        b"INSERT INTO t VALUES (1);",
        b"\xff\xfe",
    ]
    rows = 50_000
    values = [b"".join(randomness.choices(hostile, k=12)) for _ in range(rows)]
    columns: list[list[Any]] = [list(range(rows)), values, [number * 3 for number in range(rows)]]
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=front.port, database="default", compress=compress
    ) as sender:
        written = sender.insert(table, columns, column_names=["a", "s", "d"], column_oriented=True).written_rows
    assert written == rows
    result = client.query(f"SELECT s FROM {table} ORDER BY a", column_formats={"s": "bytes"})
    assert [row[0] for row in result.result_rows] == values


def test_a_large_result_arrives_in_all_its_blocks(client: Any) -> None:
    result = client.query("SELECT number, toString(number) FROM numbers(300000)")
    assert result.row_count == 300_000
    assert list(result.result_rows)[-1] == (299_999, "299999")
    assert client.query("SELECT 1 WHERE 0").row_count == 0


def test_an_error_names_its_code(client: Any) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        client.query("SELECT * FROM absent")
    assert caught.value.code == 60


def test_threads_share_a_client_without_a_session(front: Any) -> None:
    shared = clickhouse_connect.get_client(host="127.0.0.1", port=front.port, autogenerate_session_id=False)
    with shared, ThreadPoolExecutor(8) as threads:
        answers = threads.map(
            lambda n: shared.query("SELECT {n:UInt64} * 2", parameters={"n": n}).first_row, range(200)
        )
        assert [row[0] for row in answers if row] == [n * 2 for n in range(200)]


def test_migrations_apply_once(front: Any) -> None:
    assert "Applying" not in front.migrate()
    with clickhouse_connect.get_client(host="127.0.0.1", port=front.port, database="atlas") as client:
        tables = {row[0] for row in client.query("SHOW TABLES").result_rows}
    assert {
        "entity_analytics_events",
        "entities",
        "olap_watermarks",
        "olap_incarnation",
        "current_entity_values",
    } <= tables
