"""Named statements are found whole, and a file that is wrong is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from atlaskit.sql import load, parse


def test_a_statement_ends_where_the_next_name_begins() -> None:
    text = (
        "-- About this file.\n\n-- name: one\n-- Why it is so.\nSELECT 1;\n\n"
        "-- name: two\nSELECT '-- name: x'\n-- kept\nFROM t\n"
    )
    assert parse(text) == {"one": "SELECT 1", "two": "SELECT '-- name: x'\n-- kept\nFROM t"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "-- name:\nSELECT 1",
        "-- name: a b\nSELECT 1",
        "-- name: a\n",
        "-- name: a\nSELECT 1\n-- name: a\nSELECT 2",
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"bad\.sql"):
        parse(text, "bad.sql")


def test_a_name_is_unique_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\nSELECT 1")
    assert load(tmp_path) == {"one": "SELECT 1"}
    (tmp_path / "b.sql").write_text("-- name: one\nSELECT 1")
    with pytest.raises(ValueError, match="twice"):
        load(tmp_path)
