"""What is known to be committed in one epoch, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Up to `limit` entries of the newest epoch that was asked for; the least recently put go first.

    What was committed on another timeline may be lost on this one, and its ids given to others: a newer epoch begins
    with nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._epoch = 0
        self._entries: OrderedDict[K, V] = OrderedDict()

    def at(self, epoch: int) -> Mapping[K, V]:
        """Return what is known in an epoch; nothing for one that is over."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._entries.clear()
        return self._entries if epoch == self._epoch else {}

    def put(self, epoch: int, committed: Mapping[K, V]) -> None:
        """Take these as known, unless their epoch is over."""
        if epoch != self._epoch:
            return
        for key, entry in committed.items():
            self._entries[key] = entry
            self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)
