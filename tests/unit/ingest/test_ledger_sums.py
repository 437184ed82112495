"""The sums of a ledger row are exact modulo 2^64, whatever the versions are."""

from __future__ import annotations

import json

import numpy as np
from atlaskit.model import SHARD_COUNT
from atlaskit.postgres.ledger import Ledger
from hypothesis import given
from hypothesis import strategies as st

changes = st.lists(st.tuples(st.integers(0, SHARD_COUNT - 1), st.integers(1, 2**63 - 1)), min_size=1, max_size=60)


def expected(rows: list[tuple[int, int]]) -> list[list[object]]:
    sums = {shard: [version for at, version in rows if at == shard] for shard in sorted({at for at, _ in rows})}
    return [["t", at, len(all_), str((sum(all_) + 2**63) % 2**64 - 2**63)] for at, all_ in sums.items()]


@given(first=changes, second=changes)
def test_counts_and_sums_are_those_of_all_rows(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    ledger = Ledger()
    for rows in (first, second):
        shards, versions = zip(*rows, strict=True)
        ledger.add("t", np.array(shards, np.int64), np.array(versions, np.int64))
    assert json.loads(ledger.entries()) == expected(first + second)


def test_a_full_transaction_of_the_greatest_versions_is_summed_exactly() -> None:
    ledger, count = Ledger(), 1 << 17
    ledger.add("t", np.full(count, 9, np.int64), np.full(count, 2**63 - 1, np.int64))
    assert json.loads(ledger.entries()) == expected([(9, 2**63 - 1)] * count)
