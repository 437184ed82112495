"""Markers of a day in little room."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from atlas_lag_monitor.markers import TIERS, Memory
from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import Fence, newest_covered
from atlaskit.position import Lsn

MILLISECOND = 1_000_000


def filled(count: int, every_ms: int = 20) -> Memory[Fence]:
    memory: Memory[Fence] = Memory()
    for number in range(count):
        memory.add(Fence(BootInstant(number * every_ms * MILLISECOND), Lsn(number + 1)))
    return memory


def test_markers_are_newest_first_without_repeats() -> None:
    kept = filled(20_000).newest_first()
    assert all(newer.instant > older.instant and newer.lsn > older.lsn for newer, older in itertools.pairwise(kept))


def test_the_memory_is_bounded() -> None:
    assert len(filled(100_000, every_ms=500).newest_first()) <= sum(most for _, most in TIERS)


def test_a_replica_paused_for_minutes_is_still_covered_by_a_fence_at_most_one_spacing_older() -> None:
    memory = filled(30 * 60 * 50)  # half an hour
    stopped_at = Lsn(20 * 60 * 50)  # ten minutes before its end
    fence = newest_covered(memory.newest_first(), stopped_at)
    assert fence is not None
    assert fence.lsn <= stopped_at
    assert (stopped_at.bytes - fence.lsn.bytes) * 20 <= timedelta(minutes=1) / timedelta(milliseconds=1)


def test_no_marker_after_the_given_instant_is_returned() -> None:
    ceiling = BootInstant(1000 * MILLISECOND)
    kept = filled(200).up_to(ceiling, 64)
    assert kept[0].instant == ceiling
    assert len(kept) <= 64


def test_a_marker_behind_the_newest_is_refused() -> None:
    memory = filled(3)
    with pytest.raises(ValueError, match="behind"):
        memory.add(Fence(BootInstant(10**12), Lsn(1)))


def test_a_cleared_memory_holds_nothing_and_takes_any_marker() -> None:
    memory = filled(300)
    memory.clear()
    assert memory.newest_first() == ()
    memory.add(Fence(BootInstant(0), Lsn(1)))
    assert len(memory.up_to(None, 64)) == 1
