"""The polled lag: only a copy of this primary has one."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from atlas_lag_monitor.evidence import Evidence
from atlas_lag_monitor.polls import OLAP_PLACES, olap_poll, replica_poll
from atlaskit.clickhouse.watermark import Watermark
from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import Beat
from atlaskit.freshness.reading import PrimaryMode
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.probes import PrimaryLook, ReplicaLook

HERE = SourceIdentity(7, 1)
MONITOR, INCARNATION = UUID(int=5), UUID(int=6)
FOLLOWS = ReplicaLook(True, Lsn(150), 7, "streaming", 1)


def at(seconds: float) -> BootInstant:
    return BootInstant(int(seconds * 1e9))


@pytest.fixture
def known() -> Evidence:
    evidence = Evidence(MONITOR, PrimaryMode.SINGLE)
    for second in (1, 2, 3):
        evidence.saw_primary(
            evidence.generation, at(second), PrimaryLook(False, HERE, Lsn(second * 100), "on", False, True)
        )
        evidence.registered(HERE, 1)
        evidence.beat_committed(evidence.generation, HERE, Beat(second, at(second), Lsn(second * 100)))
    return evidence


def marks(beats: list[int]) -> list[Watermark]:
    return [
        Watermark(table, shard, MONITOR, beat, 1, 1, 7, Lsn(beat * 100), INCARNATION)
        for (table, shard), beat in zip(OLAP_PLACES, beats, strict=True)
    ]


def test_a_replica_is_behind_by_the_newest_fence_it_has_replayed(known: Evidence) -> None:
    poll = replica_poll(FOLLOWS, known)
    assert (poll.covered, poll.lag_bytes, poll.problem) == (at(1), 150, "")


def test_a_replica_behind_every_fence_has_an_unknown_lag(known: Evidence) -> None:
    poll = replica_poll(replace(FOLLOWS, replayed=Lsn(99)), known)
    assert (poll.covered, poll.lag_bytes) == (None, 201)


@pytest.mark.parametrize(
    "changes",
    [
        {"in_recovery": False},
        {"system_identifier": 8},
        {"receiver_status": None, "receiver_timeline": None},
        {"receiver_status": "waiting"},
        {"receiver_timeline": 2},
        {"replayed": None},
    ],
)
def test_a_server_that_does_not_follow_this_primary_has_an_unknown_lag(
    known: Evidence, changes: dict[str, object]
) -> None:
    poll = replica_poll(replace(FOLLOWS, **changes), known)  # type: ignore[arg-type]
    assert poll.reachable
    assert poll.covered is None
    assert poll.problem


def test_olap_is_behind_by_its_slowest_shard(known: Evidence) -> None:
    poll = olap_poll(marks([3] * 19 + [2]), known)
    assert (poll.covered, poll.lag_bytes, poll.problem) == (at(2), 100, "")


def test_olap_without_a_watermark_for_some_shard_has_an_unknown_lag(known: Evidence) -> None:
    assert olap_poll(marks([3] * 20)[1:], known).covered is None
    assert olap_poll([], known).covered is None


def test_watermarks_of_another_monitor_or_epoch_say_nothing(known: Evidence) -> None:
    others = [replace(mark, monitor=UUID(int=9)) for mark in marks([3] * 20)]
    older = [replace(mark, epoch=2) for mark in marks([3] * 20)]
    assert olap_poll(others, known).covered is None
    assert olap_poll(older, known).covered is None
