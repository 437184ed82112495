"""What the front promises to every client of ClickHouse's HTTP interface, asked by bare HTTP."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

COUNT_FOR_LONG = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"


@pytest.fixture
def table(http: httpx.Client) -> str:
    name = f"default.t_{uuid4().hex}"
    assert http.post("/", content=f"CREATE TABLE {name} (s String) ENGINE = MergeTree ORDER BY s").status_code == 200
    return name


def summary(answer: httpx.Response) -> dict[str, str]:
    return dict(json.loads(answer.headers["x-clickhouse-summary"]))


def test_ping_is_ok(http: httpx.Client) -> None:
    assert http.get("/ping").text == "Ok.\n"


def test_a_get_reads_with_parameters_settings_and_format(http: httpx.Client) -> None:
    parameters = {
        "query": "SELECT {x:String} AS x, getSetting('max_threads') AS threads FORMAT JSONEachRow",
        "param_x": "it's\\t;",
        "max_threads": "3",
        "query_id": "asked-for",
    }
    answer = http.get("/", params=parameters)
    assert answer.json() == {"x": "it's\t;", "threads": 3}
    assert answer.headers["x-clickhouse-query-id"] == "asked-for"
    assert answer.headers["x-clickhouse-format"] == "JSONEachRow"
    assert answer.headers["x-clickhouse-timezone"] == "UTC"


def test_settings_and_database_of_one_request_do_not_reach_the_next(http: httpx.Client) -> None:
    query = "SELECT currentDatabase(), getSetting('max_threads')"
    assert http.post("/", params={"database": "system", "max_threads": "7"}, content=query).text == "system\t7\n"
    assert http.post("/", content=query).text.startswith("default\t")


def test_a_get_does_not_write(http: httpx.Client, table: str) -> None:
    answer = http.get("/", params={"query": f"INSERT INTO {table} VALUES ('x')"})
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "164")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELECT nope", 404, "47"),
        ("SELECT * FROM nope", 404, "60"),
        ("SELEC 1", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT sleep(2) SETTINGS max_execution_time = 0.5", 408, "159"),
        ("SELECT throwIf(1)", 500, "395"),
        ("", 400, "62"),
    ],
)
def test_an_error_has_the_servers_status_code_and_text(http: httpx.Client, query: str, status: int, code: str) -> None:
    answer = http.post("/", content=query)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "(version " in answer.text


def test_an_unknown_setting_is_refused(http: httpx.Client) -> None:
    assert (
        http.post("/", params={"no_such_setting": "1"}, content="SELECT 1").headers["x-clickhouse-exception-code"]
        == "115"
    )


def test_rows_in_the_body_follow_the_statement_in_the_url(http: httpx.Client, table: str) -> None:
    query = f"INSERT INTO {table} FORMAT JSONEachRow"
    answer = http.post(
        "/",
        params={"query": query},
        content=gzip.compress(b'{"s":"a;b"}\n{"s":"c"}'),
        headers={"Content-Encoding": "gzip"},
    )
    assert summary(answer)["written_rows"] == "2"
    assert http.post("/", content=f"SELECT s FROM {table} ORDER BY s").text == "a;b\nc\n"


def test_values_may_look_like_sql(http: httpx.Client, table: str) -> None:
    answer = http.post(
        "/", content=f"INSERT INTO {table} VALUES ('a;b'), ('; DROP TABLE x; --'), ('FORMAT Native\\n');"
    )
    assert summary(answer)["written_rows"] == "3"


def test_values_take_parameters(http: httpx.Client, table: str) -> None:
    answer = http.post("/", params={"param_s": "x;y"}, content=f"INSERT INTO {table} VALUES ({{s:String}})")
    assert summary(answer)["written_rows"] == "1", answer.text
    assert http.post("/", content=f"SELECT s FROM {table}").text == "x;y\n"


@pytest.mark.parametrize("body", [b"\x01\x02\x01s\x06String\x01a", b"\x01\x01\x01s\x06String\x01arest", b""])
def test_a_body_that_is_not_whole_is_refused(http: httpx.Client, table: str, body: bytes) -> None:
    answer = http.post("/", params={"query": f"INSERT INTO {table} FORMAT Native"}, content=body)
    assert answer.status_code >= 400
    assert http.post("/", content=f"SELECT count() FROM {table}").text == "0\n"


def test_a_compressed_body_that_breaks_off_is_refused(http: httpx.Client, table: str) -> None:
    cut = gzip.compress(b'{"s":"a"}\n' * 1000)[:-9]
    query = {"query": f"INSERT INTO {table} FORMAT JSONEachRow"}
    assert http.post("/", params=query, content=cut, headers={"Content-Encoding": "gzip"}).status_code == 400
    assert http.post("/", content=f"SELECT count() FROM {table}").text == "0\n"


@pytest.mark.parametrize(
    ("revision", "start"), [("0", b"\x01\x01\x01a"), ("54405", b"\x01\x00\x02\xff\xff\xff\xff\x00\x01\x01\x01a")]
)
def test_native_blocks_are_those_of_the_revision(http: httpx.Client, revision: str, start: bytes) -> None:
    answer = http.post("/", params={"client_protocol_version": revision}, content="SELECT 'x' AS a FORMAT Native")
    assert answer.content == start + b"\x06String\x01x"


def test_native_columns_tell_of_their_serialization_from_its_revision_on(http: httpx.Client) -> None:
    answer = http.post(
        "/", params={"client_protocol_version": "54460"}, content="SELECT 'x' AS a, 1 AS b FORMAT Native"
    )
    assert answer.content.endswith(b"\x02\x01\x01a\x06String\x00\x01x\x01b\x05UInt8\x00\x01")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_answers_are_compressed_when_asked(http: httpx.Client, encoding: str) -> None:
    query = "SELECT number FROM numbers(10000)"
    plain = http.post("/", content=query, headers={"Accept-Encoding": encoding})
    assert "content-encoding" not in plain.headers
    with http.stream(
        "POST", "/", params={"enable_http_compression": "1"}, content=query, headers={"Accept-Encoding": encoding}
    ) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == encoding
    assert len(raw) < len(plain.content)


def test_a_session_keeps_its_temporary_table(http: httpx.Client) -> None:
    session = {"session_id": uuid4().hex}
    assert http.post("/", params=session, content="CREATE TEMPORARY TABLE kept (a UInt8)").status_code == 200
    http.post("/", params=session, content="INSERT INTO kept VALUES (1)")
    assert http.post("/", params=session, content="SELECT a FROM kept").text == "1\n"
    assert http.post("/", content="SELECT a FROM kept").status_code == 404
    unknown = {"session_id": uuid4().hex, "session_check": "1"}
    assert http.post("/", params=unknown, content="SELECT 1").headers["x-clickhouse-exception-code"] == "372"


def test_a_read_does_not_queue_behind_long_ones(http: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        long = [threads.submit(http.post, "/", content="SELECT sleep(1.5)") for _ in range(8)]
        begun = time.monotonic()
        assert http.post("/", content="SELECT 1").text == "1\n"
        assert time.monotonic() - begun < 1.0
        assert all(call.result().status_code == 200 for call in long)


def test_a_client_that_goes_away_stops_its_statement(http: httpx.Client) -> None:
    marked = f"{COUNT_FOR_LONG} AND '{uuid4().hex}' <> ''"
    with pytest.raises(httpx.ReadTimeout):
        http.post("/", content=marked, timeout=0.5)
    end = time.monotonic() + 10
    still = {
        "query": "SELECT count() FROM system.processes WHERE query = {q:String}",
        "param_q": marked.replace("\\", "\\\\"),
    }
    while http.get("/", params=still).text != "0\n":
        assert time.monotonic() < end, "the statement still runs"


def test_too_many_statements_are_refused_at_once(own_front: Any) -> None:
    with httpx.Client(base_url=own_front.url, timeout=30) as client, ThreadPoolExecutor(6) as threads:
        answers = [
            call.result() for call in [threads.submit(client.post, "/", content="SELECT sleep(1)") for _ in range(6)]
        ]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503, 503]
    assert all("Too many simultaneous queries" in answer.text for answer in refused)


def test_a_body_above_the_limit_is_refused_also_when_compressed(own_front: Any) -> None:
    body = b"SELECT 1 --" + b" " * 1_000_001
    assert httpx.post(own_front.url, content=body).status_code == 413
    assert (
        httpx.post(own_front.url, content=gzip.compress(body), headers={"Content-Encoding": "gzip"}).status_code == 413
    )


def test_sigterm_lets_running_statements_end_and_exits_with_0(own_front: Any) -> None:
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(httpx.post, own_front.url, content="SELECT sleep(1)", timeout=30)
        end = time.monotonic() + 10
        seen = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep%'"
        while httpx.post(own_front.url, content=seen).text != "1\n":
            assert time.monotonic() < end
        assert own_front.stop() == 0
        assert running.result().text == "0\n"


def test_a_second_process_on_the_same_data_is_refused(own_front: Any) -> None:
    command = [sys.executable, "-m", "atlas_local.chdb_front", "--port", "0", "--data", str(own_front.data)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"is served by process {own_front.process.pid} already" in second.stderr


def test_acknowledged_rows_outlive_a_kill(own_front: Any) -> None:
    durable = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
    create = f"CREATE TABLE k (a UInt64) ENGINE = MergeTree ORDER BY a {durable}"
    assert httpx.post(own_front.url, content=create).status_code == 200
    for number in range(20):
        assert httpx.post(own_front.url, content=f"INSERT INTO k VALUES ({number})").status_code == 200
    own_front.kill()
    own_front.start()
    assert httpx.post(own_front.url, content="SELECT count(), sum(a) FROM k").text == "20\t190\n"


def test_a_password_is_asked_for_when_set(own_front: Any, tmp_path: Any) -> None:
    own_front.kill()
    (tmp_path / "password").write_text("secret\n")
    own_front.options = ("--password-file", str(tmp_path / "password"))
    own_front.start()
    assert httpx.post(own_front.url, content="SELECT 1").status_code == 403
    assert httpx.post(own_front.url, content="SELECT 1", auth=("default", "wrong")).status_code == 403
    assert httpx.post(own_front.url, content="SELECT 1", auth=("default", "secret")).text == "1\n"
