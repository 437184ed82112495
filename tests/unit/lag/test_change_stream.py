"""When what comes out of the slot may lack changes: by what is said now, and by what was said before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from atlas_lag_monitor.change_stream import PUBLISHED, broken
from atlaskit.position import Lsn
from atlaskit.postgres.change_stream import ChangeStreamLook, KnownStream

WHOLE = ChangeStreamLook(
    wal_level="logical",
    server_started=7,
    present=True,
    plugin="pgoutput",
    of_this_database=True,
    wal_status="reserved",
    confirmed=Lsn(100),
    transactions=50,
    whole_rows=True,
    publication_as_made=True,
    published=PUBLISHED,
)
KNOWN = KnownStream(1, 7, 0, 50, Lsn(100), "")
GONE = ChangeStreamLook("logical", 7, present=False)


def test_a_slot_as_it_was_and_one_that_went_on_are_whole() -> None:
    for look in (WHOLE, replace(WHOLE, transactions=51, confirmed=Lsn(101))):
        assert broken(look, KNOWN) == ""
        assert broken(look, None) == ""


def test_a_slot_that_never_was_is_not_broken_and_one_that_was_is() -> None:
    assert broken(GONE, None) == ""
    assert "gone" in broken(GONE, KNOWN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wal_level": "replica"}, "wal_level"),
        ({"plugin": "test_decoding"}, "test_decoding"),
        ({"of_this_database": False}, "another"),
        ({"wal_status": "lost"}, "lost"),
        ({"invalidation": "wal_removed"}, "wal_removed"),
        ({"publication_as_made": False}, "publication"),
        ({"whole_rows": False}, "REPLICA IDENTITY"),
        ({"published": PUBLISHED - {"entities"}}, "lacks entities"),
        ({"published": PUBLISHED - {"ingest_batches_beat"}}, "lacks ingest_batches_beat"),
    ],
)
def test_a_setting_that_the_proof_rests_on_breaks_it(change: dict[str, object], said: str) -> None:
    for known in (None, KNOWN):
        assert said in broken(replace(WHOLE, **change), known)  # type: ignore[arg-type]


def test_a_slot_made_anew_under_the_same_name_is_told_by_its_statistics_and_its_position() -> None:
    assert "anew" in broken(replace(WHOLE, transactions=0), KNOWN)
    assert "anew" in broken(replace(WHOLE, confirmed=Lsn(99)), KNOWN)


def test_a_server_that_started_again_or_statistics_that_were_reset_are_no_new_slot() -> None:
    assert broken(replace(WHOLE, server_started=8, transactions=0, confirmed=Lsn(90)), KNOWN) == ""
    assert broken(replace(WHOLE, statistics_reset=9, transactions=0), KNOWN) == ""


def test_what_is_broken_stays_so_when_all_is_whole_again() -> None:
    assert broken(WHOLE, replace(KNOWN, broken="its replication slot is gone")) == "its replication slot is gone"
