"""What a transaction changed, as its row in the ledger says it."""

from __future__ import annotations

import json

import numpy as np

from atlaskit.batch import Integers
from atlaskit.model import SHARD_COUNT

HALF_BITS = 32
HALF = (1 << HALF_BITS) - 1


class Ledger:
    """Counts, by table and shard, the rows that one transaction changed and the sum of their row versions."""

    def __init__(self) -> None:
        self._counts: dict[str, Integers] = {}
        self._sums: dict[str, Integers] = {}

    def add(self, table: str, shards: Integers, versions: Integers) -> None:
        """Count rows of a table; the two columns are parallel. Sums wrap at 64 bits, in two's complement."""
        counts = self._counts.setdefault(table, np.zeros(SHARD_COUNT, np.int64))
        sums = self._sums.setdefault(table, np.zeros(SHARD_COUNT, np.int64))
        counts += np.bincount(shards, minlength=SHARD_COUNT)
        # Halves of a version add up exactly as doubles: 2^17 of them stay below 2^53. Together they wrap.
        high, low = (
            np.bincount(shards, half, minlength=SHARD_COUNT).astype(np.int64)
            for half in (versions >> HALF_BITS, versions & HALF)
        )
        sums += (high << HALF_BITS) + low

    def __bool__(self) -> bool:
        return any(counts.any() for counts in self._counts.values())

    def entries(self) -> str:
        """Return the entries as JSON: [table, shard, rows, sum as text], by table and shard, without empty ones."""
        rows = [
            [table, shard, int(counts[shard]), str(int(self._sums[table][shard]))]
            for table, counts in sorted(self._counts.items())
            for shard in np.flatnonzero(counts).tolist()
        ]
        return json.dumps(rows, separators=(",", ":"))
