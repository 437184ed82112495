"""What may be claimed and committed of one partition."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

from atlas_olap_sink.advance import Progress, claimed, claims, committable, froze, rewound
from atlas_olap_sink.audit import Shard
from atlaskit.cdc.beat import ArrivedBeat

A, B = uuid4(), uuid4()


def beat(monitor: UUID, number: int, offset: int) -> ArrivedBeat:
    return ArrivedBeat(monitor, number, 1, number, 0, offset, {})


def shard(*standing: ArrivedBeat) -> Shard:
    made = Shard(("entities", 0))
    made.standing = {one.monitor: one for one in standing}
    made.beat_end = max((one.offset + 1 for one in standing), default=None)
    return made


def test_the_newest_proven_beat_of_each_monitor_is_claimed_once() -> None:
    proven = shard(beat(A, 2, 5), beat(B, 9, 6))
    progress = Progress(8, 0)
    assert sorted(one.number for one in claims(progress, proven)) == [2, 9]
    assert claims(claimed(progress, claims(progress, proven)), proven) == ()


def test_offsets_are_committed_only_at_published_beats() -> None:
    proven = shard(beat(A, 1, 6))
    progress = Progress(9, 0)
    assert committable(progress, shard()) is None
    assert committable(progress, proven) is None
    assert committable(claimed(progress, claims(progress, proven)), proven) == 7


def test_nothing_is_claimed_until_the_rows_in_doubt_are_inserted_again() -> None:
    proven = shard(beat(A, 2, 6))
    back = rewound(claimed(Progress(8, 0), claims(Progress(8, 0), proven)), 1)
    assert (back.position, back.resume) == (1, 8)
    assert claims(back, proven) == ()
    assert committable(back, proven) is None
    assert [one.number for one in claims(replace(back, position=8), proven)] == [2]


def test_a_second_restart_goes_back_again_to_the_same_end() -> None:
    back = rewound(rewound(Progress(8, 0), 1), 1)
    assert (back.position, back.resume) == (1, 8)


def test_what_is_frozen_or_owes_a_snapshot_or_a_repair_claims_nothing() -> None:
    proven, indebted = shard(beat(A, 1, 6)), shard(beat(A, 1, 6))
    indebted.owe([7])
    for progress, told in (
        (froze(Progress(8, 0), "a delete"), proven),
        (Progress(8, 0, owes="trimmed"), proven),
        (Progress(8, 0), indebted),
    ):
        assert claims(progress, told) == ()
        assert committable(progress, told) is None


def test_the_first_reason_of_a_freeze_stands() -> None:
    assert froze(froze(Progress(0, 0), "first"), "second").frozen == "first"
