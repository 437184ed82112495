"""A line of a log that comes too often is left out, and counted."""

from __future__ import annotations

from atlaskit.telemetry.sparing import KINDS, Sparing


def test_the_first_lines_of_a_second_pass_and_the_next_one_says_how_many_did_not() -> None:
    sparing = Sparing(per_second=2)
    assert [sparing.take("full", 10 + n / 10) for n in range(6)] == [0, 0, None, None, None, None]
    assert [sparing.take("full", 11.0 + n / 10) for n in range(3)] == [4, 0, None]
    assert sparing.take("full", 13.0) == 1


def test_kinds_do_not_share_their_lines() -> None:
    sparing = Sparing(per_second=1)
    assert [sparing.take(kind, 0.0) for kind in ("a", "b", "a")] == [0, 0, None]


def test_the_kinds_that_are_told_apart_are_bounded() -> None:
    sparing = Sparing(per_second=1)
    for number in range(3 * KINDS):
        assert sparing.take(f"kind {number}", 0.0) == 0
    assert len(sparing._began) <= KINDS
