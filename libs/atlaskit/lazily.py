"""A sequence whose items are made only when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Lazily(Sequence[T], Generic[T]):
    """The items of `raw`, each as `make` makes it, again at every look; equal to whatever has equal items.

    For what is long and of which little is looked at. `raw` must not change, and `make` must give equal items.
    """

    __slots__ = ("_make", "_raw")

    def __init__(self, raw: Sequence[Any], make: Callable[[Any], T]) -> None:
        self._raw = raw
        self._make = make

    def __len__(self) -> int:
        return len(self._raw)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        """Return an item, or a part that is as lazy."""
        if isinstance(place, slice):
            return Lazily(self._raw[place], self._make)
        return self._make(self._raw[place])

    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_same, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))


def _same(one: object, other: object) -> bool:
    return one == other
