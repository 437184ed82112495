"""Where a statement ends and its rows begin, and which format answers."""

from __future__ import annotations

import pytest
from atlas_local.chdb_front.encoding import BodyTooLarge, decoded, encoded
from atlas_local.chdb_front.native import UnknownType, many_blocks, one_block
from atlas_local.chdb_front.request import Refused, read_request
from atlas_local.chdb_front.statement import InlineInsert, Statement, read_statement


@pytest.mark.parametrize(
    ("text", "head", "form", "rows"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x02;x\n", "INSERT INTO t", "Native", b"\x01\x02;x\n"),
        (b"insert into t (a, b) format CSV\r\n1;2", "insert into t (a, b)", "CSV", b"1;2"),
        (b"INSERT INTO `a FORMAT b` VALUES (';'), (2) ; ", "INSERT INTO `a FORMAT b`", "Values", b"(';'), (2) "),
        (
            b"/* FORMAT x */ INSERT INTO t SETTINGS a = 1 FORMAT TSV\t\n\t1",
            "/* FORMAT x */ INSERT INTO t SETTINGS a = 1",
            "TSV",
            b"\t1",
        ),
        (
            b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV\n1",
            "INSERT INTO t SELECT * FROM input('a Int8')",
            "CSV",
            b"1",
        ),
        (b"INSERT INTO t FORMAT CSV", "INSERT INTO t", "CSV", b""),
        (b"INSERT INTO t FORMAT CSV;\n", "INSERT INTO t", "CSV", b""),
    ],
)
def test_rows_of_an_insert_are_never_read_as_text(text: bytes, head: str, form: str, rows: bytes) -> None:
    found = read_statement(text)
    assert isinstance(found, InlineInsert)
    assert (f"{found.target} {found.settings}".strip(), found.format, bytes(found.data)) == (head, form, rows)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (b"SELECT 1", None),
        (b"SELECT 1 FORMAT JSON ;", "JSON"),
        (b"SELECT 'FORMAT CSV' -- FORMAT TSV\n", None),
        (b"SELECT format FROM t", None),
        (b"SELECT (SELECT 1 FORMAT CSV) format Native settings a = 1", "Native"),
        (b"INSERT INTO t SELECT 1", None),
    ],
)
def test_the_last_format_clause_names_the_format(text: bytes, form: str | None) -> None:
    found = read_statement(text)
    assert isinstance(found, Statement)
    assert found.format == form


def test_transport_parameters_are_no_settings() -> None:
    given = {
        "query": "INSERT",
        "database": "d",
        "query_id": "q",
        "param_x": "1",
        "max_threads": "2",
        "session_id": "s",
        "wait_end_of_query": "1",
    }
    request = read_request("POST", given, {}, b"rows")
    assert (request.text, request.settings, request.parameters) == (b"INSERT\nrows", {"max_threads": "2"}, {"x": "1"})


@pytest.mark.parametrize("name", ["a b", "a;DROP", "a=1", "compress"])
def test_a_parameter_that_could_be_text_of_a_statement_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        read_request("POST", {name: "1"}, {}, b"SELECT 1")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd"])
def test_a_body_of_several_frames_is_read_whole_and_within_its_limit(encoding: str) -> None:
    body = encoded(b"a" * 1000, encoding) + encoded(b"b" * 1000, encoding)
    assert decoded(body, encoding, 2000) == b"a" * 1000 + b"b" * 1000
    with pytest.raises(BodyTooLarge):
        decoded(body, encoding, 1999)
    with pytest.raises(ValueError, match=encoding):
        decoded(body[:-3], encoding, 2000)


def test_a_block_without_revision_stays_as_it_is() -> None:
    assert one_block(b"\x01\x01\x01a\x06String\x01x", 0) == b"\x01\x01\x01a\x06String\x01x"


def test_a_type_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(UnknownType, match="JSON"):
        many_blocks(b"\x01\x01\x01a\x04JSON\x00", 54460)
