"""Estimates of when a copy will do: from what was seen, and none where nothing tells."""

from __future__ import annotations

from datetime import timedelta

from atlaskit.clock import BootInstant
from atlaskit.freshness.progress import Observation, Progress
from atlaskit.position import Lsn

SECOND = timedelta(seconds=1)


def at(seconds: float) -> BootInstant:
    return BootInstant(int(seconds * 1e9))


def seen(*observations: tuple[float, int | None, float | None]) -> Progress:
    progress = Progress()
    for when, position, lag in observations:
        progress.saw(
            Observation(at(when), None if position is None else Lsn(position), None if lag is None else lag * SECOND)
        )
    return progress


def test_a_position_is_reached_at_the_rate_at_which_the_copy_moved() -> None:
    progress = seen((10, 1000, None), (11, 1500, None), (12, 2000, None))
    assert progress.until_position(Lsn(3000), at(12)) == 2 * SECOND
    assert progress.until_position(Lsn(3000), at(13)) == SECOND
    assert progress.until_position(Lsn(3000), at(99)) == timedelta(0)
    assert progress.until_position(Lsn(2000), at(12)) == timedelta(0)


def test_a_lag_shrinks_at_the_rate_at_which_it_shrank() -> None:
    progress = seen((10, None, 9.0), (11, None, 7.0))
    assert progress.until_staleness(3 * SECOND, at(11)) == 2 * SECOND
    assert progress.until_staleness(7 * SECOND, at(11)) == timedelta(0)


def test_what_stands_still_or_falls_back_or_is_unknown_has_no_estimate() -> None:
    for progress in (
        Progress(),
        seen((10, 5, 5.0)),
        seen((10, 5, 5.0), (11, 5, 6.0)),
        seen((10, 5, 5.0), (11, 4, 5.0)),
        seen((10, None, None), (11, None, None)),
    ):
        assert progress.until_position(Lsn(9), at(11)) is None
        assert progress.until_staleness(SECOND, at(11)) is None


def test_an_estimate_of_more_than_an_hour_is_none() -> None:
    assert seen((10, 0, None), (11, 1, None)).until_position(Lsn(10_000), at(11)) is None


def test_only_the_last_seconds_count_and_a_new_history_begins_anew() -> None:
    progress = seen((0, 0, None), (10, 1000, None), (11, 1100, None))
    assert progress.until_position(Lsn(1200), at(11)) == SECOND
    progress.forget()
    assert progress.until_position(Lsn(1200), at(11)) is None
