"""One row of the ledger: what a transaction wrote, and whose traces it carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from atlaskit.cdc.fields import Undecodable, microseconds
from atlaskit.model import ROW_INDEX_BITS


def transaction_key(row_version: int) -> int:
    """Return epoch and transaction number of a row version as one number: two epochs may give one number twice."""
    return row_version >> ROW_INDEX_BITS


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Rows of one (table, shard) that a transaction changed, and the sum of their versions in two's complement."""

    table: str
    shard: int
    rows: int
    version_sum: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One transaction of a writer. `created_us` is microseconds since 1970, by PostgreSQL's clock.

    `key` names the transaction among those of all epochs: it is what the row versions of its rows begin with.
    """

    writer: int
    sequence: int
    transaction: int
    key: int
    entries: tuple[LedgerEntry, ...]
    traceparents: tuple[str, ...]
    created_us: int

    @property
    def rows(self) -> int:
        """Return the number of rows that the transaction changed in all captured tables."""
        return sum(entry.rows for entry in self.entries)


def ledger_row_from(row: Mapping[str, Any]) -> LedgerRow:
    """Return the ledger row of a change event. Raises Undecodable."""
    try:
        return LedgerRow(
            writer=int(row["writer"]),
            sequence=int(row["sequence"]),
            transaction=int(row["transaction_number"]),
            key=transaction_key(int(row["row_version"])),
            entries=tuple(
                LedgerEntry(str(table), int(shard), int(rows), int(total))
                for table, shard, rows, total in orjson.loads(row["entries"])
            ),
            traceparents=tuple(str(text) for text in orjson.loads(row["traceparents"])),
            created_us=int(microseconds([row["created_at"]])[0]),
        )
    except Undecodable:
        raise
    except (KeyError, TypeError, ValueError) as wrong:
        raise Undecodable(f"not a ledger row: {wrong!r}") from None
