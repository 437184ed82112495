"""Where the driver's errors end: each becomes one of Atlas."""

from __future__ import annotations

import ssl

import asyncpg

from atlaskit.errors import AtlasError, DeadlinePassed, Translated, Unavailable


class StoreRefused(AtlasError):
    """PostgreSQL refused a statement; the text says which rule. A retry does not help."""

    reason = "STORE_REFUSED"


class PartitionMissing(Unavailable):
    """No partition takes rows of this time; run the keeper, which creates partitions ahead."""

    reason = "PARTITION_MISSING"


class Conflict(Unavailable):
    """Two transactions stood in each other's way and this one was rolled back: repeat it."""

    reason = "CONFLICT"


class WrongServer(Unavailable):
    """The server is not one that this work may be done on: a standby, or one with unsafe settings."""

    reason = "WRONG_SERVER"


_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.PostgresSystemError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.InvalidAuthorizationSpecificationError,
    asyncpg.exceptions.InvalidCatalogNameError,
    asyncpg.exceptions.InternalClientError,
    OSError,
    ssl.SSLError,
)
_CONFLICT = (asyncpg.exceptions.TransactionRollbackError, asyncpg.exceptions.LockNotAvailableError)
_LATE = (asyncpg.exceptions.QueryCanceledError, TimeoutError)


# What PostgreSQL raises while a transaction does its work, and never from its COMMIT on: there a disk that is full or
# broken ends all its processes, and with them the connection. To be unsure of these for as long as a disk is full would
# cost a connection, and a place in the vector of every beat, for each write that is tried again.
_UNDONE = (
    *_CONFLICT,
    asyncpg.exceptions.DiskFullError,
    asyncpg.exceptions.OutOfMemoryError,
    asyncpg.exceptions.PostgresIOError,
    asyncpg.exceptions.DataError,
    asyncpg.exceptions.IntegrityConstraintViolationError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.SyntaxOrAccessError,
)


def undone(error: Exception, doing: str) -> AtlasError | None:
    """Return the error of Atlas for one after which a statement that commits by itself has surely changed nothing."""
    return named(error, doing) if isinstance(error, _UNDONE) else None


def named(error: Exception, doing: str) -> AtlasError | None:
    """Return the error of Atlas for one of the driver, or None if it is none of the driver's."""
    if isinstance(error, _LATE):
        return DeadlinePassed(f"{doing}: PostgreSQL did not answer in time")
    if isinstance(error, _CONFLICT):
        return Conflict(f"{doing}: {error}")
    if isinstance(error, _UNAVAILABLE):
        return Unavailable(f"{doing}: PostgreSQL is not available ({type(error).__name__}: {error})")
    if isinstance(error, asyncpg.exceptions.CheckViolationError) and "no partition of relation" in str(error):
        return PartitionMissing(f"{doing}: {error}; run the keeper, which creates partitions ahead")
    if isinstance(error, asyncpg.PostgresError):
        return StoreRefused(f"{doing}: {error.sqlstate}: {error}")
    return None


def translated(doing: str) -> Translated:
    """Raise the driver's errors in the block as those of Atlas; `doing` says in the text what was being done."""
    return Translated(named, doing)
