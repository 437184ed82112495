"""A lazy sequence is as the whole one, and makes only what is looked at."""

from __future__ import annotations

from bisect import bisect_right

from atlaskit.lazily import Lazily


def test_it_is_the_sequence_of_its_items() -> None:
    doubled = Lazily((1, 2, 3), lambda n: n * 2)
    assert list(doubled) == [2, 4, 6]
    assert (doubled[0], doubled[-1], len(doubled)) == (2, 6, 3)
    assert doubled[1:] == (4, 6)
    assert doubled == [2, 4, 6]
    assert doubled == Lazily((2, 4, 6), int)
    assert doubled != [2, 4]
    assert doubled != 2
    assert hash(doubled) == hash(Lazily((2, 4, 6), int))
    assert 4 in doubled
    assert not Lazily((), int)


def test_a_search_makes_few_of_many() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    many = Lazily(range(1_000), make)
    assert bisect_right(many, 700) == 701
    assert next(iter(many)) == 0
    assert len(made) < 20
