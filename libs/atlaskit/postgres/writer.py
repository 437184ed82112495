"""A writer: one connection of ingest, whose transactions are numbered without a gap in the ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from atlaskit.errors import AtlasError, DeadlinePassed, EpochNotRegistered, OutcomeUnknown
from atlaskit.model import RowVersion
from atlaskit.position import Lsn, Token
from atlaskit.postgres.errors import WrongServer, translated, undone
from atlaskit.postgres.history import TABLE
from atlaskit.postgres.pool import CONNECT_LIMIT, STATEMENT_LIMIT, Row
from atlaskit.postgres.slots import slot_of
from atlaskit.postgres.transaction import (
    NOTHING,
    CatalogueChanged,
    EntitiesChanged,
    RequestTaken,
    Touched,
    Transaction,
)
from atlaskit.sql import load

SQL = load(Path(__file__).parent / "queries")
COMMIT_LIMIT = timedelta(seconds=10)  # a COMMIT that takes longer has an unknown outcome
STAGE = "staged_attributes"  # a temporary table of the connection
COPY_PIECE = 512 * 1024  # bytes that go to the socket at once

T = TypeVar("T")
Work = Callable[[Transaction], Awaitable[T]]


class Writer:
    """One connection that commits transactions in series. Not for two tasks at once.

    Once the outcome of a COMMIT is unknown, or the connection broke, `usable` is False for ever: its number is retired.
    """

    def __init__(self, connection: asyncpg.Connection[Row], epoch: int, number: int, *, staged: bool = False) -> None:
        self._connection = connection
        self._staged = staged
        self._sequence = 0
        self._retired = False
        self._unsure = False
        self.epoch = epoch
        self.number = number
        connection.add_log_listener(self._hear)

    @property
    def usable(self) -> bool:
        """Return False once this writer must not be used again."""
        return not self._retired and not self._connection.is_closed()

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """Return the rows of a named statement."""
        with self._guarded(STATEMENT_LIMIT), translated(statement):
            return await self._connection.fetch(SQL[statement], *values)

    async def run(self, doing: str, statement: str, *values: Any) -> Sequence[Row]:
        """Return the rows of a statement that is made of names of closed sets; `doing` names it in errors."""
        with self._guarded(STATEMENT_LIMIT), translated(doing):
            return await self._connection.fetch(statement, *values)

    async def copy_history(self, columns: Sequence[str], octets: bytes) -> None:
        """Append rows to the history; they come in COPY's binary format."""
        table = STAGE if self._staged else TABLE
        with self._guarded(STATEMENT_LIMIT), translated(f"COPY {table}"):
            await self._connection.copy_to_table(table, source=_pieces(octets), columns=columns, format="binary")
        if self._staged:
            await self.fetch("insert_staged")

    async def reserve(self) -> int:
        """Return the next transaction number. Call it once everything in the transaction has arrived, never ahead."""
        return int((await self.fetch("reserve_transaction"))[0][0])

    async def flushed(self) -> Token:
        """Return a token at or above every commit that this connection has seen.

        Raises OutcomeUnknown if it cannot be read: what was committed is, but the caller has no position."""
        try:
            return Token(self.epoch, Lsn((await self.fetch("flushed"))[0][0]))
        except AtlasError as error:
            self.retire()
            raise _unknown(str(error)) from error

    async def transact(
        self,
        transaction: int,
        work: Work[T],
        limit: timedelta,
        traceparents: Sequence[str] = (),
        touched: Touched = NOTHING,
    ) -> T:
        """Run `work` in one transaction with its ledger row, commit it, and return what `work` returned.

        Raises RequestTaken if one of its answers was stored by another meanwhile, EntitiesChanged or CatalogueChanged
        if a number that it relied on does not stand. Up to the COMMIT a failure or a cancellation rolls everything
        back; `limit` bounds that part. Raises OutcomeUnknown when the COMMIT itself was not answered: then the writer
        is retired.
        """
        try:
            async with asyncio.timeout(limit.total_seconds()):
                result, sequence = await self._before_commit(transaction, work, limit, traceparents, touched)
        except BaseException as error:
            await self._roll_back()
            if isinstance(error, TimeoutError):
                raise DeadlinePassed(
                    "the transaction took longer than its calls can wait; it was rolled back"
                ) from None
            raise
        await self._commit()
        self._sequence = sequence
        return result

    async def at_once(self, statement: str, limit: timedelta, *values: Any) -> Row:
        """Run a statement that is a whole transaction with its ledger row, and return its row with the `outcome`.

        Only after 'committed' it changed anything. Raises an error of the store where that is sure to have rolled it
        back, and OutcomeUnknown, retiring the writer, where it may have committed: as when `limit` passes."""
        self._unsure = False
        try:
            with self._guarded(limit):
                [row] = await self._connection.fetch(SQL[statement], self.number, self._sequence + 1, *values)
        except BaseException as error:
            if isinstance(error, Exception) and (known := undone(error, statement)) is not None:
                raise known from error
            self.retire()
            if isinstance(error, Exception):
                raise _unknown(str(error)) from error
            raise
        if self._unsure:
            self.retire()
            raise _unknown("the wait for synchronous standbys was cancelled")
        if row["outcome"] == "lost":
            self._retired = True
            raise WrongServer(f"writer {self.number} is not at sequence {self._sequence} in ingest_writers")
        self._sequence += row["outcome"] == "committed"
        return row

    async def _before_commit(
        self,
        transaction: int,
        work: Work[T],
        limit: timedelta,
        traceparents: Sequence[str],
        touched: Touched,
    ) -> tuple[T, int]:
        opened = await self._open(limit, touched)
        result = await work(opened)
        keys = sorted(opened.answers)  # in key order, like every lock
        tenants, requests = [key[0] for key in keys], [key[1] for key in keys]
        digests, encoded = [opened.answers[key][0] for key in keys], [opened.answers[key][1] for key in keys]
        slots = sorted(opened.numbers)
        columns, sequence = (tenants, requests, digests, encoded, slots), self._sequence
        if opened.ledger:
            sequence += 1
            version = RowVersion(self.epoch, transaction, 0).packed()
            carried = json.dumps(list(traceparents))
            row = (self.number, sequence, transaction, version, opened.ledger.entries(), carried)
            [closed] = await self.fetch("close_transaction", *columns, *row)
        else:
            [closed] = await self.fetch("close_without_ledger", *columns)
        if closed["advanced"] != 1:
            self._retired = True
            raise WrongServer(f"writer {self.number} is not at sequence {self._sequence} in ingest_writers")
        if closed["stored"] < len(keys):
            raise RequestTaken("another transaction stored one of these requests first")
        _check_numbers(opened, slots, closed)
        return result, sequence

    async def _open(self, limit: timedelta, touched: Touched) -> Transaction:
        with translated("beginning a transaction"):
            await self._connection.execute("BEGIN")
        timeout = str(max(int(limit.total_seconds() * 1000), 1))
        tenants, requests = [key[0] for key in touched.requests], [key[1] for key in touched.requests]
        erases = list(touched.erases), list(touched.erases.values())
        rows = await self.fetch("open_transaction", timeout, *erases, tenants, requests)
        found = {
            (row["tenant_id"], UUID(bytes=row["request_id"].bytes)): (row["digest"], row["result"])
            for row in rows
            if row["request_id"] is not None
        }
        slots = sorted({slot_of(tenant_id) for tenant_id in touched.erases})
        numbers, catalogues = (dict(zip(slots, rows[0][name] or (), strict=True)) for name in ("numbers", "catalogues"))
        return Transaction(rows[0]["began"], found, numbers, catalogues)

    async def _commit(self) -> None:
        self._unsure = False
        try:
            with self._guarded(COMMIT_LIMIT):
                await self._connection.execute("COMMIT")
        except BaseException as error:
            self.retire()
            if isinstance(error, Exception):
                raise _unknown(str(error)) from error
            raise
        if self._unsure:
            self.retire()
            raise _unknown("the wait for synchronous standbys was cancelled")

    async def _roll_back(self) -> None:
        if self._connection.is_closed():
            return
        try:
            with translated("rolling back"):
                await self._connection.execute("ROLLBACK", timeout=CONNECT_LIMIT.total_seconds())
        except BaseException:
            self.retire()
            raise

    @contextmanager
    def _guarded(self, limit: timedelta) -> Iterator[None]:
        # The connection is cut, no cancel request is sent: that would end a COMMIT's wait for a synchronous standby and
        # leave it on this server, and a server that is out of reach would not hear it.
        guard = asyncio.get_running_loop().call_later(limit.total_seconds(), self._connection.terminate)
        try:
            yield
        finally:
            guard.cancel()

    def retire(self) -> None:
        """Drop the connection; its number is never used again."""
        self._retired = True
        self._connection.terminate()

    def _hear(self, _connection: object, message: Any) -> None:
        self._unsure = self._unsure or "canceling wait for synchronous replication" in str(message)


def _check_numbers(opened: Transaction, slots: Sequence[int], closed: Row) -> None:
    numbers, catalogues = (dict(zip(slots, closed[name] or (), strict=True)) for name in ("numbers", "catalogues"))
    if any(numbers[slot] != number for slot, number in opened.relied.items()):
        raise EntitiesChanged("another transaction changed entities of these tenants")
    if catalogues != opened.catalogues:
        raise CatalogueChanged("an attribute of these tenants was promoted or demoted")


async def _pieces(octets: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), COPY_PIECE):
        yield octets[start : start + COPY_PIECE]


def _unknown(cause: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"the commit was not confirmed ({cause}); repeat the call with the same request_id")


@asynccontextmanager
async def open_writer(
    dsn: str, *, quorum: bool = False, staged: bool = False, application_name: str = "atlas-ingest"
) -> AsyncIterator[Writer]:
    """Yield a writer registered in the ledger, on a connection of its own. `staged`: rows pass a temporary table.

    Raises EpochNotRegistered while the server's epoch is unknown, WrongServer on a standby or one that acknowledges
    before a commit is durable (`quorum`: before the standbys have it), Unavailable when it does not answer.
    """
    with translated("connecting a writer"):
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_LIMIT.total_seconds(),
            server_settings={"application_name": application_name, "timezone": "UTC", "jit": "off"},
        )
    try:
        with translated("registering a writer"):
            epoch = await _epoch(connection, quorum)
            number = await connection.fetchval(SQL["register_writer"], epoch)
            if staged:
                await connection.execute(SQL["create_stage"])
        yield Writer(connection, epoch, number, staged=staged)
    finally:
        with suppress(AtlasError), translated("closing a writer"):
            await connection.close(timeout=CONNECT_LIMIT.total_seconds())


async def _epoch(connection: asyncpg.Connection[Row], quorum: bool) -> int:
    identity = await connection.fetchrow(SQL["server_identity"])
    assert identity is not None
    if identity["in_recovery"]:
        raise WrongServer("the server is a standby; ATLAS_POSTGRES_DSN must name the primary")
    durable = ("on", "remote_apply") if quorum else ("on", "remote_apply", "remote_write", "local")
    if identity["synchronous_commit"] not in durable:
        raise WrongServer(
            f"synchronous_commit is {identity['synchronous_commit']}; it must be one of {', '.join(durable)}"
        )
    timeline = int(identity["timeline"], 16)
    epoch = await connection.fetchval(SQL["epoch_of"], identity["system_identifier"], timeline)
    if epoch is None:
        raise EpochNotRegistered(
            f"cluster {identity['system_identifier']} on timeline {timeline} has no epoch yet; start the lag monitor"
        )
    return int(epoch)
