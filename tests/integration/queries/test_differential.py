"""Random questions have the same answer in every copy and in the plain model."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from atlaskit.model import TypedValue, ValueType
from atlaskit.selection.searches import EntitySearch, Found, FunctionKind, Group, GroupSearch, Result
from doubles.value_model import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .copies import Copies
from .dataset import dataset
from .strategies import SEARCHES, group_searches

MODEL = Model(*dataset())
# Thousands with `ATLAS_TEST_CASES=3000`; each case asks all three copies.
CASES = int(os.environ.get("ATLAS_TEST_CASES", "60"))
pytestmark = pytest.mark.timeout(300 + CASES)  # seconds
QuestionT = TypeVar("QuestionT")


async def each_example(
    strategy: st.SearchStrategy[QuestionT],
    check: Callable[[QuestionT], Coroutine[Any, Any, None]],
    cases: int = CASES,
) -> None:
    """Run an asynchronous check for every example: hypothesis works in a thread, the checks in this loop."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(strategy)
    def every(question: QuestionT) -> None:
        asyncio.run_coroutine_threadsafe(check(question), loop).result(60)

    await asyncio.to_thread(every)


async def test_a_search_finds_the_same_entities_in_the_same_order_everywhere(copies: Copies) -> None:
    async def check(search: EntitySearch) -> None:
        expected = MODEL.search(search)[: search.most]
        answers = await copies.search(search)
        for name, found in answers.items():
            assert [one.state.entity_id for one in found] == expected, (name, search)
        assert values(answers["primary"]) == values(answers["replica"]) == values(answers["olap"])

    await each_example(SEARCHES, check)


async def test_pages_of_a_search_are_the_whole_without_gaps_or_repeats(copies: Copies) -> None:
    async def check(search: EntitySearch) -> None:
        expected = MODEL.search(search)
        for name in ("primary", "replica", "olap"):
            assert await all_pages(copies, replace(search, most=3), name) == expected, (name, search)

    await each_example(SEARCHES.filter(lambda search: bool(search.order)), check, CASES // 5)


async def test_groups_have_the_same_results_everywhere(copies: Copies) -> None:
    async def check(search: GroupSearch) -> None:
        expected = MODEL.groups(search)
        for name, groups in (await copies.groups(search)).items():
            assert {group.keys for group in groups} == set(expected), (name, search)
            assert len(groups) == len(expected), (name, search)
            for group in groups:
                results, greatest = expected[group.keys]
                for function, got, wanted in zip(search.functions, group.results, results, strict=True):
                    assert alike(got, wanted, function.kind, greatest), (
                        name,
                        search,
                        group.keys,
                        function,
                        got,
                        wanted,
                    )

    await each_example(group_searches(), check)


async def test_pages_of_groups_are_the_whole_without_gaps_or_repeats(copies: Copies) -> None:
    async def check(search: GroupSearch) -> None:
        whole = await copies.groups(search)
        for name in whole:
            pages: list[Group] = []
            after: tuple[int | float | str, ...] | None = None
            while part := (await copies.groups(replace(search, after=after, most=4), name))[name]:
                pages += part
                after = part[-1].cursor
            assert [group.keys for group in pages] == [group.keys for group in whole[name]], (name, search)

    await each_example(group_searches().filter(lambda search: bool(search.group_by)), check, CASES // 5)


async def all_pages(copies: Copies, search: EntitySearch, name: str) -> list[int]:
    """Return the entities of all pages of one copy."""
    entities: list[int] = []
    while found := (await copies.search(search, name))[name]:
        entities += [one.state.entity_id for one in found]
        search = replace(search, after=found[-1].cursor)
    return entities


def values(found: list[Found]) -> list[Any]:
    """Return everything of the entities but when they were created, doubles by their text, which tells -0.0 from 0.0."""
    return [(one.state.entity_key, one.state.asset_type, sorted(map(repr, one.state.values))) for one in found]


def alike(got: Result, wanted: Result, kind: FunctionKind, greatest: float) -> bool:
    """Tell whether two results are equal; sums, means and deviations of doubles to nine digits of the greatest number."""
    inexact = kind in (FunctionKind.SUM, FunctionKind.AVERAGE, FunctionKind.STANDARD_DEVIATION)
    if inexact and isinstance(got, TypedValue) and isinstance(wanted, TypedValue) and wanted.type is ValueType.DOUBLE:
        assert isinstance(got.value, float)
        assert isinstance(wanted.value, float)
        return math.isclose(got.value, wanted.value, rel_tol=1e-9, abs_tol=1e-9 * greatest)
    return got == wanted
