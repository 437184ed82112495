"""Ids become texts or are waited for; an insert stays within the limit of months."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
from atlas_olap_sink.rows import by_months
from atlas_olap_sink.terms import TermMissing, Terms
from atlaskit.postgres.terms import TermId, TermKind


class Primary:
    """Committed terms; counts the questions."""

    def __init__(self, known: dict[TermId, str]) -> None:
        self.known = known
        self.asked: list[list[TermId]] = []

    async def __call__(self, kind: TermKind, wanted: Collection[TermId]) -> dict[TermId, str]:
        self.asked.append(sorted(wanted))
        return {term: self.known[term] for term in wanted if term in self.known}


async def test_an_unknown_id_is_asked_once_and_then_remembered() -> None:
    primary = Primary({(1, 5): "a", (2, 5): "b"})
    terms = Terms(primary, 10)
    tenants, ids = np.array([1, 2, 1, 2]), np.array([5, 5, 5, 0])
    for _ in range(2):
        assert await terms.texts(TermKind.ATTRIBUTE_KEY, tenants, ids) == ["a", "b", "a", ""]
    assert primary.asked == [[(1, 5), (2, 5)]]


async def test_an_id_that_nobody_knows_is_an_error_never_a_skipped_row() -> None:
    with pytest.raises(TermMissing):
        await Terms(Primary({}), 10).texts(TermKind.ASSET_TYPE, np.array([1]), np.array([5]))


async def test_source_types_are_shared_by_tenants() -> None:
    terms = Terms(Primary({(0, 3): "Counter64"}), 10)
    assert await terms.texts(TermKind.SOURCE_TYPE, np.array([1, 2]), np.array([3, 3])) == ["Counter64"] * 2


async def test_a_batch_with_more_terms_than_are_remembered_still_resolves() -> None:
    terms = Terms(Primary({(1, number): str(number) for number in range(1, 9)}), 2)
    terms.learn(TermKind.ATTRIBUTE_KEY, [((1, 1), "1")])
    found = await terms.texts(TermKind.ATTRIBUTE_KEY, np.ones(8, dtype=np.int64), np.arange(1, 9))
    assert found == [str(number) for number in range(1, 9)]


def test_an_insert_is_split_by_months_without_losing_a_row() -> None:
    times = (np.arange(0, 250).astype("datetime64[M]")).astype("datetime64[us]").astype(np.int64)[::-1].copy()
    parts = list(by_months({"time": times, "text": [str(time) for time in times]}, times))
    assert len(parts) == 3
    assert all(len(np.unique(part["time"].view("datetime64[us]").astype("datetime64[M]"))) <= 100 for part in parts)
    assert sorted(time for part in parts for time in part["time"].tolist()) == sorted(times.tolist())
    assert all(part["text"] == [str(time) for time in part["time"]] for part in parts)
