"""A watermark claims for all places or for none."""

from __future__ import annotations

from uuid import UUID

import pytest
from atlaskit.clickhouse.pool import client_arguments
from atlaskit.clickhouse.table import row_count
from atlaskit.clickhouse.watermark import Watermark, durable, least
from atlaskit.errors import ConfigurationWrong
from atlaskit.position import Lsn

ONE, OTHER = UUID(int=1), UUID(int=2)
PLACES = [("entities", 0), ("entities", 1)]
GOOD = "ReplacingMergeTree(v) ORDER BY a SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
SESSION = {"async_insert": "0", "insert_deduplicate": "0"}


def mark(shard: int, beat: int, *, monitor: UUID = ONE, incarnation: UUID = ONE) -> Watermark:
    return Watermark("entities", shard, monitor, beat, 1, 1, 5, Lsn(beat), incarnation)


def test_the_smallest_beat_of_all_places_counts() -> None:
    assert least([mark(0, 9), mark(1, 7), mark(2, 1)], PLACES, ONE) == mark(1, 7)


def test_a_place_without_watermark_proves_nothing() -> None:
    assert least([mark(0, 9)], PLACES, ONE) is None
    assert least([mark(0, 9)], [], ONE) is None


def test_beats_of_another_monitor_do_not_fill_the_gap() -> None:
    assert least([mark(0, 9), mark(1, 7, monitor=OTHER)], PLACES, ONE) is None


def test_watermarks_of_two_incarnations_prove_nothing_together() -> None:
    assert least([mark(0, 9), mark(1, 7, incarnation=OTHER)], PLACES, ONE) is None


def test_inserts_are_durable_only_if_every_table_and_the_session_say_so() -> None:
    assert durable({"a": GOOD, "b": GOOD}, SESSION)
    assert not durable({"a": GOOD, "b": GOOD.replace("fsync_after_insert = 1", "fsync_after_insert = 0")}, SESSION)
    assert not durable({"a": GOOD, "b": "MergeTree ORDER BY a"}, SESSION)
    assert not durable({"a": GOOD}, {**SESSION, "async_insert": "1"})
    assert not durable({"a": GOOD}, {"async_insert": "0"})
    assert not durable({}, SESSION)


def test_columns_have_one_length() -> None:
    assert row_count({"a": [1, 2], "b": ["x", "y"]}) == 2
    assert row_count({}) == 0
    with pytest.raises(ValueError, match="different lengths"):
        row_count({"a": [1], "b": []})


def test_a_url_names_server_database_and_user() -> None:
    found = client_arguments("clickhouse+http://reader:p%40ss@db:8124/atlas")
    assert (found["host"], found["port"], found["username"], found["password"], found["database"]) == (
        "db",
        8124,
        "reader",
        "p@ss",
        "atlas",
    )
    with pytest.raises(ConfigurationWrong):
        client_arguments("postgres://db/atlas")
