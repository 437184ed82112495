"""Repair of what does not balance: what the ledger or a shard lacks is read from PostgreSQL and inserted.

Orders are carried out one after another beside the stream. What came of them is handed to the pipeline, which alone
changes the audit. An order that fails is tried again, with growing pauses, for as long as it is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog
from atlaskit.cdc.envelope import RowEvent
from atlaskit.cdc.ledger import LedgerRow
from atlaskit.cdc.topics import HISTORY
from atlaskit.clickhouse.watermark import Place
from atlaskit.errors import AtlasError, Unavailable
from atlaskit.model import ROW_INDEX_BITS
from atlaskit.postgres.repair import Identity

from atlas_olap_sink.decoding import Batch, decoded_rows
from atlas_olap_sink.inserting import Inserter
from atlas_olap_sink.metrics import SinkMetrics
from atlas_olap_sink.orders import (
    Covered,
    Done,
    Filled,
    FillLedger,
    Identified,
    Identify,
    Order,
    Reconcile,
    Reconciled,
    Reread,
    Resnapshot,
    Settled,
    Sweep,
    Swept,
    named,
    with_first,
)
from atlas_olap_sink.patience import Stopping

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.2  # seconds before an order that failed is tried again
LONGEST_PAUSE = 10.0
CHUNK = 50_000  # transactions that the primary is asked for at a time
MAX_ORDERS = 10_000  # that wait; what is beyond is found again by the audit once there is room


class Snapshot(Protocol):
    """One moment of the primary."""

    @property
    def writers(self) -> Mapping[int, int]: ...
    def pages(self, table: str, shard: int) -> AsyncIterator[list[RowEvent]]: ...


class Primary(Protocol):
    """What a repair reads of PostgreSQL. Each call raises an AtlasError if it fails."""

    async def ledger_of_writer(self, writer: int, first: int, last: int) -> Sequence[LedgerRow]: ...
    async def ledger_of_transactions(self, keys: Collection[int]) -> Sequence[LedgerRow]: ...
    async def surviving(self, first: int, last: int) -> Sequence[int]: ...
    async def last_sequences(self) -> Mapping[int, int]: ...
    async def rows_of_transactions(self, table: str, shard: int, keys: Collection[int]) -> Sequence[RowEvent]: ...
    async def rows_of_identities(self, identities: Sequence[Identity]) -> Sequence[RowEvent]: ...
    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]: ...


class Purging(Protocol):
    """What deletes rows of transactions from the copy, and says which observations they were of."""

    async def holding(self, keys: Collection[int]) -> frozenset[Place]: ...
    async def identities(self, place: Place, keys: Collection[int]) -> Sequence[Identity]: ...
    async def purge(self, place: Place, keys: Collection[int]) -> None: ...


class NotThere(Unavailable):
    """PostgreSQL does not have what the repair needs; a failover may bring it, or only a person can help."""

    reason = "REPAIR_NOT_POSSIBLE"


class Repairs:
    """Carries out orders: one at a time, and transactions of one table and shard together.

    Each is kept once, however often it is ordered.
    """

    def __init__(
        self, primary: Primary, purging: Purging, inserter: Inserter, metrics: SinkMetrics | None = None
    ) -> None:
        self._metrics = metrics or SinkMetrics()
        self._primary, self._purging, self._inserter = primary, purging, inserter
        self._orders: dict[Order, int] = {}  # with the number of failures
        self._due: dict[Order, float] = {}
        self._done: list[Done] = []
        self._ordered = asyncio.Event()
        self._generation = 0

    @property
    def waiting(self) -> int:
        """Return the number of orders that are not carried out."""
        return len(self._orders)

    def want(self, orders: Collection[Order]) -> None:
        """Have these carried out and drop all others. What waits beyond MAX_ORDERS is wanted again later."""
        self._orders = {order: failures for order, failures in self._orders.items() if order in orders}
        self._due = {order: due for order, due in self._due.items() if order in self._orders}
        for order in orders:
            if order not in self._orders and len(self._orders) < MAX_ORDERS:
                self._orders[order] = 0
                self._ordered.set()

    def forget(self) -> None:
        """Drop what was done and not yet taken, and do again what is under way: the copy may have lost it."""
        self._done.clear()
        self._generation += 1

    def taken(self) -> list[Done]:
        """Return what was done since the last call."""
        done, self._done = self._done, []
        return done

    async def committed(self, keys: Collection[int]) -> frozenset[int]:
        """Return which of these transactions the primary's ledger has. Raises an AtlasError."""
        return frozenset(row.key for row in await self._primary.ledger_of_transactions(keys))

    async def last_sequences(self) -> Mapping[int, int]:
        """Return the last committed sequence of each writer of the ledger. Raises an AtlasError."""
        return await self._primary.last_sequences()

    async def run(self) -> None:
        """Carry out orders until cancelled, or told to stop while a store is away."""
        try:
            while True:
                await self._wait()
                await self.carry_out_next()
        except Stopping:
            log.info("stopped before a repair was done; it is found again")

    async def carry_out_next(self) -> bool:
        """Carry out the next order that is due, and those that go with it; return False if none is."""
        now = asyncio.get_running_loop().time()
        due = [order for order in self._orders if self._due.get(order, 0) <= now]
        if not due:
            return False
        together, generation = with_first(due), self._generation
        try:
            outcomes = await self._carry_out(together)
        except AtlasError as error:
            outcomes = dict.fromkeys(together, error)
        for order, outcome in outcomes.items():
            if isinstance(outcome, AtlasError):
                self._failed(order, outcome, now)
            elif generation == self._generation:
                self._orders.pop(order, None)
                self._due.pop(order, None)
                self._done.append(outcome)
        self._tell(outcomes)
        return True

    def _tell(self, outcomes: Mapping[Order, Done | AtlasError]) -> None:
        done = [order for order, outcome in outcomes.items() if not isinstance(outcome, AtlasError)]
        self._metrics.repaired(done=len(done), failed=len(outcomes) - len(done))
        if done:
            log.info("repaired", orders=len(done), **named(done[0]))

    async def _wait(self) -> None:
        now = asyncio.get_running_loop().time()
        pause = min((self._due.get(order, 0) - now for order in self._orders), default=LONGEST_PAUSE)
        self._ordered.clear()
        if pause > 0:
            try:
                async with asyncio.timeout(pause):
                    await self._ordered.wait()
            except TimeoutError:
                return

    def _failed(self, order: Order, error: AtlasError, now: float) -> None:
        # Last in turn from now on, so that one that cannot succeed yet does not hold up those that can.
        failures = self._orders.pop(order, 0) + 1
        self._orders[order] = failures
        self._due[order] = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        log.error("a repair failed", problem=str(error), reason=error.reason, attempt=failures, **named(order))

    async def _carry_out(self, orders: Sequence[Order]) -> Mapping[Order, Done | AtlasError]:
        if rereads := [order for order in orders if isinstance(order, Reread)]:
            return await self._reread(rereads)
        return {order: await self._alone(order) for order in orders}

    async def _alone(self, order: Order) -> Done:
        match order:
            case FillLedger():
                return Filled(await self._ledger(order))
            case Reread():
                raise AssertionError("transactions are read together")
            case Resnapshot():
                return Covered(order.place, await self._snapshot(order.place))
            case Identify():
                return await self._identify(order)
            case Sweep():
                await self._sweep(order.keys)
                return Swept(order.keys)
            case Reconcile():
                return await self._reconcile(order)

    async def _ledger(self, order: FillLedger) -> tuple[LedgerRow, ...]:
        rows = await self._primary.ledger_of_writer(order.writer, order.first, order.last)
        if not rows:
            raise NotThere(f"the ledger of writer {order.writer} has no sequence {order.first} to {order.last}")
        return tuple(rows)

    async def _reread(self, orders: Sequence[Reread]) -> Mapping[Order, Done | AtlasError]:
        table, shard = orders[0].place
        found: dict[int, list[RowEvent]] = {order.key: [] for order in orders}
        for row in await self._primary.rows_of_transactions(table, shard, list(found)):
            found[int(row["row_version"]) >> ROW_INDEX_BITS].append(row)
        missing = await self._missing(orders, found)
        whole = [order.key for order in orders if order not in missing]
        await self._insert(table, [row for key in whole for row in found[key]])
        return {order: missing.get(order) or Settled(order.place, order.key) for order in orders}

    async def _missing(
        self, orders: Sequence[Reread], found: Mapping[int, Sequence[RowEvent]]
    ) -> Mapping[Reread, NotThere]:
        """Return which of these transactions PostgreSQL does not have as it was counted, with what it has."""
        unlike = {order.key: order for order in orders if not _as_expected(order, found[order.key])}
        if not unlike:
            return {}
        # The event of the ledger may be what is wrong.
        for row in await self._primary.ledger_of_transactions(list(unlike)):
            entries = [one for one in row.entries if row.key in unlike and (one.table, one.shard) == orders[0].place]
            if any(_balances(found[row.key], entry.rows, entry.version_sum) for entry in entries):
                del unlike[row.key]
        return {order: _not_there(order, len(found[key])) for key, order in unlike.items()}

    async def _snapshot(self, place: Place) -> Mapping[int, int]:
        table, shard = place
        count = 0
        async with self._primary.snapshot() as moment:
            async for rows in moment.pages(table, shard):
                await self._insert(table, rows)
                count += len(rows)
                log.info("snapshot under way", table=table, shard=shard, rows=count)
            return dict(moment.writers)

    async def _identify(self, order: Identify) -> Identified:
        found = await self._primary.ledger_of_transactions(order.keys)
        committed = {row.key for row in found}
        return Identified(order.place, tuple(found), tuple(key for key in order.keys if key not in committed))

    async def _sweep(self, keys: Collection[int]) -> None:
        for place in sorted(await self._purging.holding(keys)):
            table, _ = place
            if table == HISTORY.table:
                identities = await self._purging.identities(place, keys)
                await self._purging.purge(place, keys)
                await self._insert(table, await self._primary.rows_of_identities(identities) if identities else ())
            else:
                await self._purging.purge(place, keys)
                await self._snapshot(place)

    async def _reconcile(self, order: Reconcile) -> Reconciled:
        writers = await self._primary.last_sequences()
        phantoms: list[int] = []
        for first, last in order.runs:
            for low in range(first, last + 1, CHUNK):
                high = min(last, low + CHUNK - 1)
                survived = set(await self._primary.surviving(low, high))
                phantoms += [key for key in range(low, high + 1) if key not in survived]
        return Reconciled(order.epoch, tuple(phantoms), writers)

    async def _insert(self, table: str, rows: Sequence[RowEvent]) -> None:
        if rows:
            batch: Batch = decoded_rows(table, rows)
            await self._inserter.insert(batch)


def _as_expected(order: Reread, rows: Sequence[RowEvent]) -> bool:
    expected = order.expected
    return expected is None or _balances(rows, expected.rows, expected.version_sum)


def _not_there(order: Reread, rows: int) -> NotThere:
    counted = 0 if order.expected is None else order.expected.rows
    table, shard = order.place
    return NotThere(f"{table} has {rows} rows of the transaction in shard {shard}, and its ledger counts {counted}")


def _balances(rows: Sequence[RowEvent], count: int, version_sum: int) -> bool:
    total = sum(int(row["row_version"]) for row in rows)
    return len(rows) == count and (total - version_sum) % (1 << 64) == 0
