"""The audit of a shard against the ledger: what is proven, and what does not balance."""

from __future__ import annotations

from uuid import UUID, uuid4

import numpy as np
import pytest
from atlas_olap_sink.audit import MAX_MONITORS, Flaw, Shard, told
from atlas_olap_sink.ledger import Basis, Ledger, place_at
from atlas_olap_sink.seen import Seen
from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.cdc.intervals import Intervals
from atlaskit.cdc.ledger import LedgerEntry, LedgerRow

MONITOR = uuid4()
PLACE = ("entity_attributes", 3)
WRITER = 1 << 48 | 1


def versions(key: int, *indexes: int) -> np.ndarray:
    return np.array([key << 17 | index for index in indexes], np.int64)


def row(sequence: int, key: int, *indexes: int, writer: int = WRITER) -> LedgerRow:
    entry = LedgerEntry(*PLACE, len(indexes), int(versions(key, *indexes).sum()))
    return LedgerRow(writer, sequence, key & 0xFFFF, key, (entry,) if indexes else (), (), 0)


def beat(number: int, offset: int, vector: dict[int, int] | None = None, epoch: int = 1) -> ArrivedBeat:
    return ArrivedBeat(MONITOR, number, epoch, 1000 + number, 3, offset, vector or {})


def key(number: int, epoch: int = 1) -> int:
    return epoch << 38 | number


class Bench:
    """A ledger and a shard, fed by hand."""

    def __init__(self, basis: Basis | None = None) -> None:
        self.ledger = Ledger(basis or Basis())
        self.shard = Shard(PLACE)
        self.ledger_end = self.end = 0

    def ledger_row(self, made: LedgerRow) -> None:
        entered = self.ledger.take(made, self.ledger_end)
        self.ledger_end += 1
        if entered:
            self.shard.expect(entered)

    def rows(self, of: int, *indexes: int) -> None:
        found = versions(of, *indexes)
        self.shard.count(self.ledger, found, tuple(range(self.end, self.end + len(found))))
        self.end += len(found)

    def beat(self, number: int, vector: dict[int, int], *, here: bool = True, epoch: int = 1) -> None:
        self.ledger.beat(beat(number, self.ledger_end, vector, epoch))
        self.ledger_end += 1
        if here:
            self.shard.arrive([beat(number, self.end, epoch=epoch)])
            self.end += 1

    @property
    def proven(self) -> int:
        self.flaws = self.shard.prove(self.ledger)
        standing = self.shard.standing.get(MONITOR)
        return standing.number if standing else 0


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_balances_is_proven(bench: Bench) -> None:
    bench.rows(key(1), 0, 1, 2)
    bench.ledger_row(row(1, key(1), 0, 1, 2))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 1
    assert bench.shard.beat_end == bench.end


def test_a_beat_waits_for_the_ledger(bench: Bench) -> None:
    bench.rows(key(1), 0)
    bench.shard.arrive([beat(1, bench.end)])
    assert bench.proven == 0
    assert bench.flaws == ()
    bench.ledger_row(row(1, key(1), 0))
    bench.beat(1, {WRITER: 1}, here=False)
    assert bench.proven == 1


def test_a_missing_row_freezes_the_shard_and_is_named(bench: Bench) -> None:
    bench.rows(key(1), 0, 2)
    bench.ledger_row(row(1, key(1), 0, 1, 2))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 0
    assert told(bench.flaws) == [
        {
            "table": PLACE[0],
            "shard": PLACE[1],
            "writer": WRITER,
            "sequence": 1,
            "transaction": 1,
            "rows_expected": 3,
            "rows_seen": 2,
        }
    ]
    bench.shard.settle(key(1))
    assert bench.proven == 1


def test_a_row_counts_once_however_often_it_comes(bench: Bench) -> None:
    bench.rows(key(1), 0, 0, 0)
    bench.ledger_row(row(1, key(1), 0, 1, 2))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 0
    bench.rows(key(1), 1, 0, 2, 1)
    assert bench.proven == 1


def test_another_row_in_the_place_of_a_missing_one_does_not_balance(bench: Bench) -> None:
    bench.rows(key(1), 0, 1, 3)
    bench.ledger_row(row(1, key(1), 0, 1, 2))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 0


def test_rows_of_no_known_transaction_freeze_the_shard(bench: Bench) -> None:
    bench.rows(key(9), 0)
    bench.beat(1, {})
    assert bench.proven == 0
    assert bench.flaws == (Flaw(PLACE, key(9), 1),)


def test_rows_that_are_too_many_freeze_the_shard(bench: Bench) -> None:
    bench.rows(key(1), 0, 1)
    bench.ledger_row(row(1, key(1), 0))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 0
    assert not bench.flaws[0].deficit


def test_a_row_of_the_ledger_that_is_missing_before_another_freezes(bench: Bench) -> None:
    bench.ledger_row(row(2, key(2)))
    bench.beat(1, {WRITER: 2})
    assert bench.proven == 0
    assert [*bench.ledger.missing()] == [(WRITER, 1)]


def test_a_row_of_the_ledger_that_only_the_vector_tells_freezes(bench: Bench) -> None:
    bench.ledger_row(row(1, key(1)))
    bench.beat(1, {WRITER: 2})
    assert bench.proven == 0
    filled = bench.ledger.fill(row(2, key(2), 5))
    assert filled is not None
    bench.shard.expect(filled)
    assert bench.proven == 0
    assert bench.flaws[0].key == key(2)
    bench.rows(key(2), 5)
    assert bench.proven == 1


def test_a_row_that_comes_behind_the_beat_that_demands_it_does_not_help_it(bench: Bench) -> None:
    bench.beat(1, {WRITER: 1})
    bench.ledger_row(row(1, key(1), 0))
    assert bench.ledger.missing() == {}
    assert bench.proven == 0
    bench.rows(key(1), 0)
    assert bench.proven == 1


def test_a_vector_that_is_only_equal_is_enough_and_one_that_is_greater_is_not(bench: Bench) -> None:
    bench.ledger_row(row(1, key(1)))
    bench.beat(1, {WRITER: 1})
    bench.beat(2, {WRITER: 1, WRITER + 1: 1})
    assert bench.proven == 1


def test_a_repeated_beat_counts_only_where_it_came_first(bench: Bench) -> None:
    bench.beat(1, {})
    bench.beat(2, {})
    assert bench.proven == 2
    end = bench.shard.beat_end
    bench.shard.arrive([beat(1, bench.end), beat(2, bench.end + 1)])
    assert bench.proven == 2
    assert bench.shard.beat_end == end


def test_a_beat_that_the_ledger_never_told_is_passed_over(bench: Bench) -> None:
    bench.shard.arrive([beat(1, bench.end)])
    bench.end += 1
    assert bench.proven == 0
    bench.beat(2, {})
    assert bench.proven == 2


def test_rows_of_a_closed_transaction_come_again_without_an_audit(bench: Bench) -> None:
    bench.rows(key(1), 0)
    bench.ledger_row(row(1, key(1), 0))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 1
    bench.rows(key(1), 0)
    bench.beat(2, {WRITER: 1})
    assert bench.proven == 2


def test_rows_read_before_the_ledger_tells_that_they_are_closed_do_not_freeze() -> None:
    before = Bench()
    before.ledger_row(row(1, key(1), 0))
    resumed = Bench()
    resumed.shard = Shard(PLACE, place_at(0) + 1)
    resumed.rows(key(1), 0)
    resumed.ledger_row(row(1, key(1), 0))
    resumed.beat(1, {WRITER: 1})
    assert resumed.proven == 1


def test_a_new_epoch_proves_nothing_before_the_copy_is_reconciled(bench: Bench) -> None:
    bench.ledger_row(row(1, key(1)))
    bench.beat(1, {WRITER: 1})
    bench.beat(2, {WRITER: 1}, epoch=2)
    assert bench.proven == 1
    assert bench.ledger.turn == 2
    bench.ledger.reconciled(2, {WRITER: 1})
    assert bench.proven == 2


def test_a_first_beat_of_a_later_epoch_than_its_rows_is_a_new_epoch(bench: Bench) -> None:
    bench.ledger_row(row(1, key(1)))
    bench.beat(1, {}, epoch=2)
    assert bench.ledger.turn == 2


def test_what_is_missing_and_lost_by_a_failover_is_not_awaited(bench: Bench) -> None:
    bench.ledger_row(row(2, key(2)))
    bench.beat(1, {}, epoch=2)
    bench.ledger.reconciled(2, {WRITER: 0})
    assert bench.ledger.missing() == {}


def test_a_writer_that_goes_back_contradicts_the_ledger_for_good(bench: Bench) -> None:
    bench.ledger_row(row(1, key(1)))
    bench.ledger_row(row(1, key(2)))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 0
    assert bench.ledger.contradiction is not None


def test_a_snapshot_closes_what_it_holds(bench: Bench) -> None:
    bench.ledger_row(row(1, key(1), 0))
    bench.rows(key(2), 0)
    bench.ledger_row(row(2, key(2), 0, 1))
    bench.beat(1, {WRITER: 2})
    assert bench.proven == 0
    bench.shard.cover({WRITER: 2})
    assert bench.proven == 1


def test_void_rows_are_neither_expected_nor_strange() -> None:
    bench = Bench()
    bench.shard = Shard(PLACE, void=Intervals([(key(1), key(2))]))
    bench.rows(key(1), 0)
    bench.ledger_row(row(1, key(2), 0))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 1


def test_the_number_of_remembered_monitors_is_bounded(bench: Bench) -> None:
    for offset in range(50):
        mine = ArrivedBeat(UUID(int=offset + 1), 1, 1, 1, 3, offset, {})
        bench.ledger.beat(mine)
        bench.shard.arrive([mine])
        bench.shard.prove(bench.ledger)
    assert len(bench.shard.counted) == len(bench.shard.standing) == MAX_MONITORS


def test_the_basis_moves_and_knows_what_stood_before(bench: Bench) -> None:
    bench.rows(key(1), 0)
    bench.ledger_row(row(1, key(1), 0))
    bench.beat(1, {WRITER: 1})
    assert bench.proven == 1
    bench.ledger.forget_before(bench.shard.proven)
    assert bench.ledger.basis.writers == {WRITER: 1}
    assert key(1) in bench.ledger.basis.entered
    assert bench.ledger.place(key(1)) == 0
    assert bench.ledger.basis.offset == 2


@pytest.mark.parametrize("count", [1, 31, 33, 5000, 1 << 17])
def test_seen_rows_match_in_number_and_sum(count: int) -> None:
    indexes = np.arange(count, dtype=np.int64)
    seen = Seen(0)
    seen.add(key(5), indexes[: count // 2 + 1])
    seen.add(key(5), indexes)
    total = sum(key(5) << 17 | index for index in range(count))
    assert seen.matches(count, (total + (1 << 63)) % (1 << 64) - (1 << 63))
    assert not seen.matches(count, total + 1)
