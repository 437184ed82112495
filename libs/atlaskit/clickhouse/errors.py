"""Where the errors of clickhouse-connect end: each becomes one of Atlas."""

from __future__ import annotations

from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from urllib3.exceptions import HTTPError

from atlaskit.errors import AtlasError, DeadlinePassed, TooCostly, Translated, Unavailable


class ClickHouseUnavailable(Unavailable):
    """ClickHouse did not answer, or is too busy. A statement that writes may or may not have run."""

    reason = "CLICKHOUSE_UNAVAILABLE"


class ClickHouseRefused(AtlasError):
    """ClickHouse refused a statement; the text says why. A retry does not help."""

    reason = "CLICKHOUSE_REFUSED"

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class PartialInsert(ClickHouseRefused):
    """ClickHouse says that it wrote another number of rows than were sent. Insert the same rows again."""

    reason = "PARTIAL_INSERT"

    def __init__(self, table: str, sent: int, written: int) -> None:
        super().__init__(f"{table}: {sent} rows were sent and {written} were written")
        self.sent = sent
        self.written = written


# TIMEOUT_EXCEEDED, TOO_SLOW, QUERY_WAS_CANCELLED
_LATE: Final = frozenset({159, 160, 394})
# TOO_MANY_ROWS, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES; and of MEMORY_LIMIT_EXCEEDED what is the query's own limit.
_COSTLY: Final = frozenset({158, 307, 396})
_OF_THE_QUERY: Final = ("Query memory limit", "(for query)")
# TOO_MANY_SIMULTANEOUS_QUERIES, SOCKET_TIMEOUT, NETWORK_ERROR, MEMORY_LIMIT_EXCEEDED, NOT_ENOUGH_SPACE, TOO_MANY_PARTS,
# UNKNOWN_DATABASE and UNKNOWN_TABLE (the migrations have not run yet)
_UNAVAILABLE: Final = frozenset({202, 209, 210, 241, 243, 252, 81, 60})
# TOO_MANY_PARTS is also what an insert into more than 100 partitions gets: split it.
_PERMANENT: Final = "Too many partitions for single INSERT block"


def named(error: Exception, doing: str) -> AtlasError | None:
    """Return the error of Atlas for one of the driver, or None if it is none of the driver's."""
    code = getattr(error, "code", None)
    text = f"{doing}: {error}"
    if code in _LATE:
        return DeadlinePassed(f"{doing}: ClickHouse did not answer in time")
    if code in _COSTLY or (code == 241 and any(words in text for words in _OF_THE_QUERY)):
        return TooCostly(f"{doing}: more than one query may read or hold; narrow it ({_limit_of(error)})")
    if code in _UNAVAILABLE and _PERMANENT not in text:
        return ClickHouseUnavailable(text)
    if isinstance(error, DatabaseError) and code is not None:
        return ClickHouseRefused(text, code)
    if isinstance(error, OperationalError | HTTPError | OSError | DatabaseError):
        return ClickHouseUnavailable(f"{doing}: ClickHouse is not available ({type(error).__name__}: {error})")
    return ClickHouseRefused(text) if isinstance(error, ClickHouseError) else None


def _limit_of(error: Exception) -> str:
    """Return which limit it was, in ClickHouse's words without the statement, which may hold values."""
    told = str(error)
    return told[max(told.find("Limit for"), told.find("Query memory limit"), told.find("Memory limit"), 0) :][:120]


def translated(doing: str) -> Translated:
    """Raise the driver's errors in the block as those of Atlas; `doing` says in the text what was being done."""
    return Translated(named, doing)
