"""The rows of one transaction that a copy has acknowledged for one table and shard, each counted once. Pure."""

from __future__ import annotations

import numpy as np
from atlaskit.cdc.fields import Int64s
from atlaskit.model import ROW_INDEX_BITS

_FEW = 32  # up to so many rows a loop is faster than an array
_OVERHEAD = 250  # bytes of the objects around a bitmap


class Seen:
    """Indexes of rows, as a bitmap, with their number and the sum of their row versions.

    A row version names one row within its table, so a row that comes again changes nothing.
    """

    __slots__ = ("bits", "first_offset", "rows", "version_sum")

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self.bits = 0
        self.rows = 0
        self.version_sum = 0

    def add(self, key: int, indexes: Int64s) -> None:
        """Count the rows of transaction `key` with these indexes, once each."""
        mask = _mask(indexes)
        fresh = mask & ~self.bits
        if not fresh:
            return
        self.bits |= mask
        count = fresh.bit_count()
        self.rows += count
        total = int(indexes.sum()) if fresh == mask and count == len(indexes) else _sum_of_bits(fresh)
        self.version_sum += (key << ROW_INDEX_BITS) * count + total

    def matches(self, rows: int, version_sum: int) -> bool:
        """Return whether exactly these rows were seen; the sum is modulo 2^64 in two's complement."""
        return self.rows == rows and (self.version_sum - version_sum) % (1 << 64) == 0

    @property
    def size_bytes(self) -> int:
        """Return about how much memory this takes."""
        return _OVERHEAD + self.bits.bit_length() // 8


def _mask(indexes: Int64s) -> int:
    if len(indexes) <= _FEW:
        mask = 0
        for index in indexes.tolist():
            mask |= 1 << index
        return mask
    marked = np.zeros(int(indexes.max()) + 1, np.uint8)
    marked[indexes] = 1
    return int.from_bytes(np.packbits(marked, bitorder="little").tobytes(), "little")


def _sum_of_bits(bits: int) -> int:
    octets = np.frombuffer(bits.to_bytes((bits.bit_length() + 7) // 8, "little"), np.uint8)
    return int(np.flatnonzero(np.unpackbits(octets, bitorder="little")).sum())
