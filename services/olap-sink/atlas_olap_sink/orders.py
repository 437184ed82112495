"""What can be ordered of a repair, and what is told when it is done. Values only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from atlaskit.cdc.ledger import LedgerRow
from atlaskit.clickhouse.watermark import Place
from atlaskit.model import ROW_INDEX_BITS

from atlas_olap_sink.audit import Expected


@dataclass(frozen=True, slots=True)
class FillLedger:
    """Read rows of the ledger that its topic lacks."""

    writer: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Reread:
    """Read the rows of a transaction again. `expected` None: whatever PostgreSQL has."""

    place: Place
    key: int
    expected: Expected | None = None


@dataclass(frozen=True, slots=True)
class Resnapshot:
    """Read a whole table and shard."""

    place: Place


@dataclass(frozen=True, slots=True)
class Identify:
    """Ask whether transactions were committed whose rows came and whose rows of the ledger did not."""

    place: Place
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete the rows of transactions everywhere, and bring back what they had replaced."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask which transactions of before a new epoch it still has. `runs` are first and last of their keys."""

    epoch: int
    runs: tuple[tuple[int, int], ...]


Order: TypeAlias = FillLedger | Reread | Resnapshot | Identify | Sweep | Reconcile


# Transactions of one table and shard that are read and inserted together: how many, in how much of the table, and of
# how many rows, unless one alone has more.
TOGETHER, TOGETHER_WITHIN, TOGETHER_ROWS = 500, 5_000, 20_000
UNCOUNTED_ROWS = 1_000  # that a transaction is taken to have whose rows nobody has counted


def with_first(due: Sequence[Order]) -> list[Order]:
    """Return the first order and those to carry out together with it: transactions near it in the same place."""
    first = due[0]
    if not isinstance(first, Reread):
        return [first]
    together: list[Order] = [first]
    rows = _expected_rows(first)
    for order in due[1:]:
        if not isinstance(order, Reread) or order.place != first.place or abs(order.key - first.key) > TOGETHER_WITHIN:
            continue
        rows += _expected_rows(order)
        if rows > TOGETHER_ROWS or len(together) == TOGETHER:
            break
        together.append(order)
    return together


def _expected_rows(order: Reread) -> int:
    return UNCOUNTED_ROWS if order.expected is None else order.expected.rows


@dataclass(frozen=True, slots=True)
class Filled:
    """Rows of the ledger that PostgreSQL has."""

    rows: tuple[LedgerRow, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """The rows of a transaction are in the copy."""

    place: Place
    key: int


@dataclass(frozen=True, slots=True)
class Covered:
    """All rows of a table and shard up to these sequences are in the copy."""

    place: Place
    writers: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Identified:
    """Of the transactions asked for: the rows of the ledger of those that were committed, and those that were not."""

    place: Place
    committed: tuple[LedgerRow, ...]
    phantoms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """The rows of these transactions are gone from the copy."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The transactions that an epoch does not have, and the last sequences of its writers."""

    epoch: int
    phantoms: tuple[int, ...]
    writers: Mapping[int, int]


Done: TypeAlias = Filled | Settled | Covered | Identified | Swept | Reconciled


def named(order: Order) -> dict[str, object]:
    """Return what an order is about, as a log names it."""
    match order:
        case FillLedger():
            return {"repair": "ledger", "writer": order.writer, "first": order.first, "last": order.last}
        case Reread():
            told = _placed("rows of a transaction", order.place, (order.key,))
            return told | (
                {"writer": order.expected.writer, "sequence": order.expected.sequence} if order.expected else {}
            )
        case Resnapshot():
            return {"repair": "snapshot", "table": order.place[0], "shard": order.place[1]}
        case Identify():
            return _placed("unannounced transactions", order.place, order.keys)
        case Sweep():
            return {"repair": "rows that have to go", "transactions": _numbers(order.keys)}
        case Reconcile():
            return {"repair": "what a new epoch does not have", "epoch": order.epoch}


def _placed(repair: str, place: Place, keys: Collection[int]) -> dict[str, object]:
    return {"repair": repair, "table": place[0], "shard": place[1], "transactions": _numbers(keys)}


def _numbers(keys: Collection[int]) -> list[int]:
    return [key & ((1 << (55 - ROW_INDEX_BITS)) - 1) for key in list(keys)[:5]]
