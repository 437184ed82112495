"""A session of a server: its transaction, its settings, and the statements that it runs one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any

from asyncpg import exceptions as pg
from checker.sim.pg.server import Changes, Lock, Server, Timeline
from checker.sim.process import WALL_BEGIN

Rows = list[dict[str, Any]]


class Transaction:
    """An open transaction: what it changed, and what a later statement of its own must see."""

    def __init__(self, snapshot: int | None, began: float) -> None:
        self.snapshot = snapshot  # None: READ COMMITTED, a new one for each statement
        self.began = began
        self.changes: Changes = []
        self.entities: dict[tuple[int, int], dict[str, Any]] = {}
        self.locals: dict[str, str] = {}


class Backend:
    """The server's side of one connection."""

    def __init__(self, server: Server, number: int, options: dict[str, str]) -> None:
        self.server, self.number, self.options = server, number, options
        self.transaction: Transaction | None = None
        self.warnings: list[str] = []
        self.running: asyncio.Task[Any] | None = None
        self.ended = self.committing = False
        self._held: list[Any] = []
        self.staged: Rows = []

    @property
    def timeline(self) -> Timeline:
        return self.server.timeline

    @property
    def snapshot(self) -> int:
        fixed = None if self.transaction is None else self.transaction.snapshot
        return self.server.visible if fixed is None else fixed

    @property
    def now(self) -> float:
        return self.server.process.loop.time()

    def change(self, table: str, what: Any) -> None:
        """Change a row in the open transaction; on a standby this is refused."""
        if self.server.in_recovery:
            raise pg.ReadOnlySQLTransactionError("cannot execute in a read-only transaction")
        assert self.transaction is not None
        self.transaction.changes.append((table, what))

    def local(self, name: str) -> str | None:
        return None if self.transaction is None else self.transaction.locals.get(name)

    def execute(self, statement: Callable[..., Any], args: tuple[Any, ...]) -> Rows | Coroutine[Any, Any, Rows]:
        """Run a statement of a handler: in the open transaction, or in one of its own."""
        if self.transaction is not None:
            result: Rows | Coroutine[Any, Any, Rows] = statement(self, *args)
            return result
        self.transaction = Transaction(None, self.now)
        try:
            result = statement(self, *args)
        except BaseException:
            self.roll_back()
            raise
        if not isinstance(result, list):
            return self._alone(result)
        if self.transaction.changes:
            return self._closing(result)
        self.roll_back()
        return result

    async def _alone(self, running: Awaitable[Rows]) -> Rows:
        try:
            rows = await running
        except BaseException:
            self.roll_back()
            raise
        return await self._closing(rows)

    async def _closing(self, rows: Rows) -> Rows:
        await self.commit()
        return rows

    def begin(self, *, repeatable: bool = False) -> None:
        if self.transaction is None:
            self.transaction = Transaction(self.server.visible if repeatable else None, self.now)

    async def commit(self) -> None:
        """Commit what is open; locks are free once it is visible."""
        transaction = self.transaction
        if transaction is None:
            return
        if transaction.changes:
            self.committing = True
            try:
                if await self.server.commit(transaction.changes):
                    self.warnings.append("canceling wait for synchronous replication due to user request")
            finally:
                self.committing = False
        self.roll_back()

    def roll_back(self) -> None:
        self.transaction = None
        self.staged = []
        for key in self._held:
            lock = self.server.locks.get(key)
            if lock is not None:
                lock.release(self.number)
                if not lock.holders and not lock.waiting:
                    del self.server.locks[key]
        self._held.clear()

    def try_lock(self, key: Any, *, shared: bool) -> bool:
        """Hold a lock until the end of the transaction, if it can be had at once."""
        lock = self.server.locks.setdefault(key, Lock())
        if not lock.fits(self.number, shared=shared):
            return False
        if key not in self._held:
            self._held.append(key)
        lock.take(self.number, shared=shared)
        return True

    async def lock(self, key: Any, *, shared: bool = False) -> None:
        """Hold a lock until the end of the transaction."""
        lock = self.server.locks.setdefault(key, Lock())
        if key not in self._held:
            self._held.append(key)
        if lock.fits(self.number, shared=shared) and (not lock.waiting or self.number in lock.holders):
            lock.take(self.number, shared=shared)
            return
        granted = self.server.process.loop.create_future()
        lock.waiting.append((self.number, shared, granted))
        await granted

    def end(self) -> None:
        """The client is gone, or the server ends the session: what is open is rolled back."""
        if self.ended:
            return
        self.ended = True
        if not self.committing:  # what commits goes on without its client
            if self.running is not None:
                self.running.cancel()
            self.roll_back()
        self.server.backends.pop(self.number, None)
        for place in [place for place, holder in self.server.places.items() if holder is self]:
            del self.server.places[place]


def instant(seconds: float) -> datetime:
    """The server's wall clock."""
    return WALL_BEGIN + timedelta(microseconds=int(seconds * 1e6))


def numbers_of(backend: Backend, slots: Sequence[int], snapshot: int) -> list[int] | None:
    """How often entities of these slots were updated, by the transaction itself too."""
    changes = [] if backend.transaction is None else backend.transaction.changes
    own = [what for table, what in changes if table == "entity_changes"]
    return [(backend.timeline.store.slots[slot].at(snapshot) or 0) + own.count(slot) for slot in slots] or None


async def store_requests(
    backend: Backend,
    tenants: Sequence[int],
    requests: Sequence[Any],
    digests: Sequence[bytes],
    results: Sequence[bytes],
) -> int:
    """Store answers of requests that are not stored yet; return how many."""
    stored = 0
    for tenant, request, digest, result in zip(tenants, requests, digests, results, strict=True):
        await backend.lock(("request", tenant, request.bytes))
        if (tenant, request.bytes) in backend.timeline.store.requests:
            continue
        row = {"tenant_id": tenant, "request_id": request.bytes, "digest": digest, "result": result}
        backend.change("ingest_requests", row)
        stored += 1
    return stored
