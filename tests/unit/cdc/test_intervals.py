"""Sets of integers as runs, against plain sets."""

from __future__ import annotations

from atlaskit.cdc.intervals import Intervals
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.lists(st.integers(0, 200), max_size=120)


def of(numbers: list[int]) -> Intervals:
    made = Intervals()
    for number in numbers:
        made.add(number)
    return made


def members(runs: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in runs for number in range(first, last + 1)}


@given(NUMBERS)
def test_a_set_holds_what_was_added_and_nothing_else(numbers: list[int]) -> None:
    made = of(numbers)
    assert members(made.runs()) == set(numbers)
    assert all((number in made) == (number in set(numbers)) for number in range(202))
    assert all(later[0] > earlier[1] + 1 for earlier, later in zip(made.runs(), made.runs()[1:], strict=False))


@given(NUMBERS)
def test_a_set_comes_back_from_its_code(numbers: list[int]) -> None:
    assert Intervals.decoded(of(numbers).encoded()) == of(numbers)


@given(NUMBERS, st.integers(0, 200), st.integers(0, 30))
def test_a_run_is_added_whole(numbers: list[int], first: int, length: int) -> None:
    made = of(numbers)
    made.add_run(first, first + length)
    assert members(made.runs()) == set(numbers) | set(range(first, first + length + 1))


@given(NUMBERS)
def test_beyond_its_limit_a_set_holds_more_and_never_less(numbers: list[int]) -> None:
    made = Intervals(most=5)
    for number in numbers:
        made.add(number)
    assert set(numbers) <= members(made.runs())
    assert len(made.runs()) <= 5
