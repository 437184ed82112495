from dataclasses import replace
from datetime import timedelta

import pytest
from atlaskit.clock import BootInstant, asked_at
from atlaskit.freshness.fences import Beat, Fence, Ring, newest_covered, thinned
from atlaskit.freshness.proofs import (
    OlapRead,
    PrimaryRead,
    Proof,
    ReplicaRead,
    Watermark,
    covers,
    missing_bytes,
    prove_olap,
    prove_primary,
    prove_replica,
)
from atlaskit.freshness.reading import AgedFence, Known, PrimaryMode, Reading, known_from
from atlaskit.position import Lsn, SourceIdentity, Token
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000_000
HERE = SourceIdentity(7_000_000_000_000_000_001, 1)
NOW = BootInstant(100 * SECOND)


def at(seconds: float) -> BootInstant:
    return BootInstant(int(seconds * SECOND))


KNOWN = Known(
    asked=at(99.9),
    identity=HERE,
    epoch=3,
    fences=(Fence(at(99), Lsn(300)), Fence(at(98), Lsn(200)), Fence(at(97), Lsn(200)), Fence(at(96), Lsn(100))),
    beats=(Beat(9, at(99), Lsn(300)), Beat(8, at(98), Lsn(200))),
    monitor_id="m",
    primary_mode=PrimaryMode.SINGLE,
)
REPLICA = ReplicaRead(Lsn(250), True, HERE.system_identifier, True, 1)
PRIMARY = PrimaryRead(HERE, False, at(100.001), at(100.003), Lsn(400))


def mark(shard: int, beat: int, **changes: object) -> Watermark:
    return replace(Watermark("entity_attributes", shard, "m", beat, 3, HERE, "i"), **changes)  # type: ignore[arg-type]


def test_a_replica_is_as_fresh_as_the_newest_fence_it_has_replayed() -> None:
    proof = prove_replica(KNOWN, REPLICA)
    assert proof is not None
    assert proof.staleness(NOW) == timedelta(seconds=2)
    assert proof.lsn == Lsn(250)


def test_a_replica_at_exactly_the_fence_has_replayed_it() -> None:
    proof = prove_replica(KNOWN, replace(REPLICA, replayed=Lsn(300)))
    assert proof is not None
    assert proof.instant == at(99)


@pytest.mark.parametrize(
    "change",
    [
        {"replayed": None},
        {"replayed": Lsn(99)},
        {"in_recovery": False},
        {"receiver_streaming": False},
        {"receiver_timeline": 2},
        {"receiver_timeline": None},
        {"system_identifier": 1},
        {"system_identifier": None},
    ],
)
def test_a_replica_that_misses_one_condition_proves_nothing(change: dict[str, object]) -> None:
    assert prove_replica(KNOWN, replace(REPLICA, **change)) is None  # type: ignore[arg-type]


def test_an_unknown_primary_or_epoch_proves_nothing_anywhere() -> None:
    for known in (replace(KNOWN, identity=None), replace(KNOWN, epoch=None)):
        assert prove_replica(known, REPLICA) is None
        assert prove_primary(known, PRIMARY, NOW) is None
        assert prove_olap(known, OlapRead("i", [mark(0, 9)], "i"), [("entity_attributes", 0)]) is None


def test_a_primary_guarded_by_fencing_is_as_stale_as_reading_its_identity_took() -> None:
    proof = prove_primary(KNOWN, PRIMARY, NOW)
    assert proof is not None
    assert proof.staleness(NOW) == timedelta(milliseconds=2)
    assert not proof.excludes_failover_loss


@pytest.mark.parametrize(
    "change",
    [{"identity": SourceIdentity(HERE.system_identifier, 2)}, {"identity": None}, {"in_recovery": True}],
)
def test_a_server_that_is_not_the_known_primary_proves_nothing(change: dict[str, object]) -> None:
    assert prove_primary(KNOWN, replace(PRIMARY, **change), NOW) is None  # type: ignore[arg-type]


def test_with_a_quorum_only_an_acknowledged_beat_of_the_primary_proves() -> None:
    quorum = replace(KNOWN, primary_mode=PrimaryMode.QUORUM)
    assert prove_primary(quorum, PRIMARY, NOW) is None
    proof = prove_primary(replace(quorum, primary_beat=at(99.975)), PRIMARY, NOW)
    assert proof is not None
    assert proof.staleness(NOW) == timedelta(milliseconds=25)


def test_with_a_quorum_the_primary_covers_no_position_above_the_newest_usable_fence() -> None:
    # What is flushed above it may wait for a standby, which shows it before the primary does.
    quorum = replace(KNOWN, primary_mode=PrimaryMode.QUORUM, primary_beat=at(99.975))
    fence = KNOWN.fences[0].lsn
    proof = prove_primary(quorum, replace(PRIMARY, lsn=Lsn(fence.bytes + 10)), NOW)
    assert proof is not None
    assert proof.lsn == fence
    assert not covers(proof, Token(proof.epoch, Lsn(fence.bytes + 1)))
    without = prove_primary(replace(quorum, fences=()), PRIMARY, NOW)
    assert without is not None
    assert without.lsn is None


def test_an_unknown_mode_of_the_primary_proves_nothing() -> None:
    assert prove_primary(replace(KNOWN, primary_mode=None), PRIMARY, NOW) is None


@pytest.mark.parametrize(("mode", "excludes"), [(PrimaryMode.SINGLE, True), (PrimaryMode.QUORUM, False)])
def test_a_claim_after_a_promotion_says_whether_it_excludes_what_was_lost(mode: PrimaryMode, excludes: bool) -> None:
    second = SourceIdentity(HERE.system_identifier, 2)
    known = replace(KNOWN, identity=second, primary_mode=mode, primary_beat=at(99.9))
    marks = [mark(0, 9, identity=second), mark(5, 9, identity=second)]
    proofs = [
        prove_primary(known, replace(PRIMARY, identity=second), NOW),
        prove_replica(known, replace(REPLICA, receiver_timeline=2)),
        prove_olap(known, OlapRead("i", marks, "i"), [("entity_attributes", 0), ("entity_attributes", 5)]),
    ]
    for proof in proofs:
        assert proof is not None
        assert proof.excludes_failover_loss is excludes


NEEDED = [("entity_attributes", 0), ("entity_attributes", 5)]


def test_olap_is_as_fresh_as_its_slowest_shard() -> None:
    proof = prove_olap(KNOWN, OlapRead("i", [mark(0, 9), mark(5, 8)], "i"), NEEDED)
    assert proof is not None
    assert (proof.instant, proof.beat, proof.lsn) == (at(98), 8, Lsn(200))


@pytest.mark.parametrize(
    "read",
    [
        OlapRead(None, [mark(0, 9), mark(5, 9)], None),
        OlapRead("i", [mark(0, 9), mark(5, 9)], "j"),
        OlapRead("i", [mark(0, 9), mark(5, 9)], None),
        OlapRead("i", [mark(0, 9)], "i"),
        OlapRead("i", [mark(0, 9), mark(5, 9, monitor_id="other")], "i"),
        OlapRead("i", [mark(0, 9), mark(5, 9, epoch=2)], "i"),
        OlapRead("i", [mark(0, 9), mark(5, 9, identity=SourceIdentity(1, 1))], "i"),
        OlapRead("i", [mark(0, 9), mark(5, 9, incarnation="j")], "i"),
        OlapRead("i", [mark(0, 9), mark(5, 7)], "i"),
    ],
)
def test_olap_proves_nothing_without_incarnation_or_with_a_shard_or_beat_missing(read: OlapRead) -> None:
    assert prove_olap(KNOWN, read, NEEDED) is None


def test_olap_proves_nothing_for_a_query_of_no_known_shard() -> None:
    assert prove_olap(KNOWN, OlapRead("i", [mark(0, 9)], "i"), []) is None


def test_a_token_is_covered_by_a_replica_at_its_position_and_by_olap_only_beyond_it() -> None:
    token = Token(3, Lsn(200))
    assert covers(Proof(NOW, 3, Lsn(200)), token)
    assert not covers(Proof(NOW, 3, Lsn(199)), token)
    assert not covers(Proof(NOW, 3, Lsn(200), beat=8), token)
    assert covers(Proof(NOW, 3, Lsn(201), beat=8), token)
    assert not covers(Proof(NOW, 3, None), token)


def test_a_token_of_another_epoch_is_never_covered() -> None:
    assert not covers(Proof(NOW, 3, Lsn(999)), Token(2, Lsn(1)))
    assert not covers(Proof(NOW, 3, Lsn(999)), Token(4, Lsn(1)))


def test_a_token_of_an_ancestor_is_covered_up_to_the_fork_and_by_olap_only_beyond_it() -> None:
    forks = {2: Lsn(200)}
    assert covers(Proof(NOW, 3, Lsn(200), ancestors=forks), Token(2, Lsn(200)))
    assert not covers(Proof(NOW, 3, Lsn(199), ancestors=forks), Token(2, Lsn(200)))
    assert not covers(Proof(NOW, 3, Lsn(999), ancestors=forks), Token(2, Lsn(201)))
    assert not covers(Proof(NOW, 3, Lsn(999), ancestors=forks), Token(1, Lsn(1)))
    assert not covers(Proof(NOW, 3, Lsn(200), beat=8, ancestors=forks), Token(2, Lsn(200)))
    assert covers(Proof(NOW, 3, Lsn(201), beat=8, ancestors=forks), Token(2, Lsn(200)))


@given(
    st.integers(1, 6),
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(1, 60),
    st.dictionaries(st.integers(1, 5), st.integers(1, 60)),
)
def test_what_covers_a_token_survived_and_is_at_least_as_far(
    epoch: int, reached: int, of: int, lsn: int, forks: dict[int, int]
) -> None:
    ancestors = {ancestor: Lsn(at_) for ancestor, at_ in forks.items() if ancestor < epoch}
    proof, token = Proof(NOW, epoch, Lsn(reached), ancestors=ancestors), Token(of, Lsn(lsn))
    survived = of == epoch or (of in ancestors and lsn <= ancestors[of].bytes)
    assert covers(proof, token) == (survived and reached >= lsn)
    assert (missing_bytes(proof, token) or 0) == (max(lsn - reached, 0) if survived else 0)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(-900, 900))
def test_an_instant_from_an_age_is_never_later_than_the_remote_instant(
    sent_ns: int, remote_age_ns: int, rate_error_ppm: int
) -> None:
    # The remote clock runs faster or slower by up to 900 ppm; the answer was computed when or after the question came.
    true_age_ns = remote_age_ns * (1_000_000 + rate_error_ppm) // 1_000_000
    question = BootInstant(sent_ns + 10**10)
    age = timedelta(microseconds=-(-remote_age_ns // 1000))
    assert asked_at(question, age).nanoseconds <= question.nanoseconds - true_age_ns + 1000


def test_a_reading_is_placed_before_the_question_that_it_answers() -> None:
    known = known_from(Reading(fences=(AgedFence(Lsn(5), timedelta(seconds=1)),)), at(50))
    assert known.fences == (Fence(BootInstant(50 * SECOND - 1_001_000_000), Lsn(5)),)
    assert known.usable(at(51), timedelta(seconds=1))
    assert not known.usable(at(51.1), timedelta(seconds=1))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=60), st.integers(0, 1300))
def test_the_newest_covered_fence_is_that_of_a_plain_search(steps: list[tuple[int, int]], replayed: int) -> None:
    fences: list[Fence] = []
    instant = lsn = 1
    for seconds, size in steps:
        instant, lsn = instant + seconds, lsn + size
        fences.insert(0, Fence(at(instant), Lsn(lsn)))
    plain = next((fence for fence in fences if fence.lsn <= Lsn(replayed)), None)
    assert newest_covered(tuple(fences), Lsn(replayed)) == plain


@given(st.integers(1, 3000), st.integers(8, 64))
def test_thinning_keeps_newest_and_oldest_in_order_within_the_limit(count: int, limit: int) -> None:
    fences = tuple(Fence(at(count - index), Lsn(count - index)) for index in range(count))
    kept = thinned(fences, limit)
    assert len(kept) <= limit
    assert kept[0] == fences[0]
    assert kept[-1] == fences[-1]
    assert list(kept) == sorted(kept, key=lambda fence: fence.instant, reverse=True)


def test_a_ring_refuses_a_marker_that_goes_back() -> None:
    ring: Ring[Fence] = Ring(4)
    ring.add(Fence(at(2), Lsn(2)))
    with pytest.raises(ValueError, match="behind"):
        ring.add(Fence(at(1), Lsn(3)))
    with pytest.raises(ValueError, match="behind"):
        ring.add(Fence(at(3), Lsn(1)))
    for number in range(3, 9):
        ring.add(Fence(at(number), Lsn(number)))
    assert len(ring) == 4
