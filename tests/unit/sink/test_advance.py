"""Which beats count, and when they may be claimed and committed."""

from __future__ import annotations

from uuid import UUID, uuid4

from atlas_olap_sink.advance import MAX_MONITORS, Progress, acknowledged, claimed, claims, committable, froze, rewound
from atlaskit.cdc.beat import ArrivedBeat

A, B = uuid4(), uuid4()


def beat(monitor: UUID, number: int, offset: int) -> ArrivedBeat:
    return ArrivedBeat(monitor, number, 1, number, 0, offset, {})


def numbers(progress: Progress) -> list[int]:
    return [found.number for found in claims(progress)]


def test_the_newest_beat_of_each_monitor_is_claimed_once() -> None:
    progress = acknowledged(Progress(0, 0), [beat(A, 1, 3), beat(A, 2, 5), beat(B, 9, 6)], 8)
    assert sorted(numbers(progress)) == [2, 9]
    assert claims(claimed(progress, claims(progress))) == ()


def test_a_repeated_beat_counts_only_where_it_came_first() -> None:
    progress = acknowledged(Progress(0, 0), [beat(A, 1, 1), beat(A, 2, 2)], 3)
    progress = claimed(progress, claims(progress))
    repeated = acknowledged(progress, [beat(A, 1, 4), beat(A, 2, 5)], 6)
    assert claims(repeated) == ()
    assert committable(repeated) == 3


def test_offsets_are_committed_only_at_published_beats() -> None:
    progress = acknowledged(Progress(0, 0), [], 5)
    assert committable(progress) is None
    progress = acknowledged(progress, [beat(A, 1, 6)], 9)
    assert committable(progress) is None
    assert committable(claimed(progress, claims(progress))) == 7


def test_a_beat_behind_a_fault_never_counts() -> None:
    progress = froze(acknowledged(Progress(0, 0), [beat(A, 1, 2), beat(A, 2, 6)], 8, fault=4), "poison")
    assert numbers(progress) == [1]
    assert numbers(acknowledged(progress, [beat(A, 3, 9)], 10)) == [1]
    assert committable(claimed(progress, claims(progress))) == 3


def test_nothing_is_claimed_until_the_rows_in_doubt_are_inserted_again() -> None:
    progress = acknowledged(Progress(0, 0), [beat(A, 1, 2), beat(A, 2, 6)], 8)
    back = rewound(claimed(progress, claims(progress)), 1)
    assert (back.position, back.resume) == (1, 8)
    half = acknowledged(back, [beat(A, 1, 2)], 4)
    assert claims(half) == ()
    assert committable(half) is None
    whole = acknowledged(half, [beat(A, 2, 6)], 8)
    assert numbers(whole) == [2]


def test_a_second_restart_goes_back_again_to_the_same_end() -> None:
    back = rewound(rewound(acknowledged(Progress(0, 0), [beat(A, 1, 6)], 8), 1), 1)
    assert (back.position, back.resume) == (1, 8)


def test_a_restarted_sink_finds_the_beat_that_counted_before_and_claims_it_anew() -> None:
    known = rewound(Progress(7, 7, {A: 2}, beat_end=7), 0)
    again = acknowledged(known, [beat(A, 1, 2), beat(A, 2, 6)], 7)
    assert numbers(again) == [2]


def test_the_number_of_remembered_monitors_is_bounded() -> None:
    progress = Progress(0, 0)
    for offset in range(50):
        progress = acknowledged(progress, [beat(uuid4(), 1, offset)], offset + 1)
    assert len(progress.seen) == len(progress.standing) == MAX_MONITORS
