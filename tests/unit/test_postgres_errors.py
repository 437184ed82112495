"""What PostgreSQL's refusals mean to a caller, and after which of them a statement has surely changed nothing."""

from __future__ import annotations

import asyncpg
import pytest
from asyncpg import exceptions
from atlaskit.errors import AtlasError, DeadlinePassed, Unavailable
from atlaskit.postgres.errors import Conflict, StoreRefused, named, undone


@pytest.mark.parametrize(
    ("error", "kind", "sure"),
    [
        (exceptions.DiskFullError("could not extend file: No space left on device"), Unavailable, True),
        (exceptions.OutOfMemoryError("out of memory"), Unavailable, True),
        (exceptions.PostgresIOError("could not read block 1: Input/output error"), Unavailable, True),
        (exceptions.TooManyConnectionsError("sorry, too many clients already"), Unavailable, False),
        (exceptions.LockNotAvailableError("canceling statement due to lock timeout"), Conflict, True),
        (exceptions.DeadlockDetectedError("deadlock detected"), Conflict, True),
        (exceptions.NumericValueOutOfRangeError("out of range"), StoreRefused, True),
        (exceptions.AdminShutdownError("terminating connection"), Unavailable, False),
        (exceptions.QueryCanceledError("canceling statement due to statement timeout"), DeadlinePassed, False),
        (asyncpg.InterfaceError("connection is closed"), Unavailable, False),
        (ConnectionResetError(), Unavailable, False),
        (TimeoutError(), DeadlinePassed, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_has_one_meaning_and_is_sure_to_have_changed_nothing_or_not(
    error: Exception, kind: type[AtlasError], sure: bool
) -> None:
    assert type(named(error, "writing")) is kind
    assert (undone(error, "writing") is not None) is sure
