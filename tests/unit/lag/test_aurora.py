"""An Aurora reader is asked behind the same interface, and what it says of itself is shown but proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest
from atlas_lag_monitor.copies import PROBES
from atlas_lag_monitor.evidence import Evidence
from atlas_lag_monitor.settings import ReplicaKind, Settings
from atlaskit.config import load
from atlaskit.errors import Unavailable
from atlaskit.freshness.reading import PrimaryMode
from atlaskit.postgres.pool import Session

LIMIT = timedelta(seconds=1)
# Answers of the statement look_at_aurora_reader, in the types that Aurora documents for its columns.
READER = {
    "is_reader": True,
    "writer_durable_lsn": 8_522_730_912,
    "current_read_lsn": 8_522_730_400,
    "replica_lag_in_msec": Decimal("15.0"),
}
WRITER = {"is_reader": False, "writer_durable_lsn": 8_522_730_912, "current_read_lsn": 0, "replica_lag_in_msec": None}
NEW = {"is_reader": True, "writer_durable_lsn": None, "current_read_lsn": None, "replica_lag_in_msec": None}
AHEAD = {**READER, "current_read_lsn": 8_522_731_000}


class Recorded:
    """A session that gives one recorded answer, and keeps what it was asked."""

    def __init__(self, answer: Mapping[str, Any] | None) -> None:
        self.answer, self.asked = answer, ""

    async def row(self, sql: str, *, limit: timedelta) -> Mapping[str, Any] | None:
        assert limit == LIMIT
        self.asked = sql
        return self.answer


async def ask(answer: Mapping[str, Any] | None) -> tuple[Any, bool]:
    session = Recorded(answer)
    evidence = Evidence(UUID(int=1), PrimaryMode.SINGLE)
    asked = await PROBES[ReplicaKind.AURORA](cast("Session", session), LIMIT, evidence)
    assert "aurora_replica_status()" in session.asked
    return asked


async def test_a_readers_estimate_is_told_and_its_age_stays_unknown() -> None:
    poll, follows = await ask(READER)
    assert follows
    assert poll.reachable
    assert poll.covered is None
    assert poll.lag_bytes == 512
    assert poll.problem == "not proven: Aurora's own estimate of its lag is 15 ms"


async def test_what_a_reader_does_not_say_is_unknown_and_not_zero() -> None:
    poll, follows = await ask(NEW)
    assert follows
    assert (poll.covered, poll.lag_bytes) == (None, None)
    assert "is nothing" in poll.problem


async def test_a_reader_that_is_ahead_of_what_the_writer_told_is_not_behind() -> None:
    assert (await ask(AHEAD))[0].lag_bytes == 0


async def test_the_writer_is_no_reader_so_the_connection_is_given_up() -> None:
    poll, follows = await ask(WRITER)
    assert not follows
    assert (poll.problem, poll.lag_bytes) == ("is the writer: not a reader", None)


async def test_an_instance_that_aurora_does_not_list_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not list"):
        await ask(None)


def test_a_replica_streams_unless_the_settings_say_otherwise() -> None:
    needed = {"ATLAS_POSTGRES_DSN": "x", "ATLAS_CLICKHOUSE_URL": "x", "ATLAS_KAFKA_BOOTSTRAP": "x:1"}
    assert load(Settings, needed).replica_kind is ReplicaKind.STREAMING
    assert load(Settings, {**needed, "ATLAS_REPLICA_KIND": "aurora"}).replica_kind is ReplicaKind.AURORA
    assert PROBES.keys() == set(ReplicaKind)
