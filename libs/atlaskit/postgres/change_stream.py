"""The replication slot and the publication that feed ClickHouse: as they are, and as they were last seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from atlaskit.errors import Unavailable
from atlaskit.position import Lsn
from atlaskit.postgres.dedicated import DedicatedSession
from atlaskit.postgres.probes import SQL

NOWHERE = Lsn(0)


@dataclass(frozen=True, slots=True)
class ChangeStreamLook:
    """What the server says of them in one statement. `present` False: there is no such slot, and the rest is empty.

    `transactions` were decoded since `statistics_reset`; both begin anew with a slot, and with a server that crashed.
    `whole_rows`: an update of a captured table brings every value of its row, those that did not change as well.
    `held_back` are the transactions since the oldest one that any slot keeps from vacuum, None where none keeps one.
    Times are in microseconds since 1970, 0 for never.
    """

    wal_level: str
    server_started: int
    present: bool
    plugin: str = ""
    of_this_database: bool = False
    wal_status: str = ""
    invalidation: str = ""
    confirmed: Lsn = NOWHERE
    transactions: int = 0
    statistics_reset: int = 0
    held_back: int | None = None
    whole_rows: bool = False
    publication_as_made: bool = False
    published: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class KnownStream:
    """The slot as a monitor last saw it. `broken` tells since when changes may be missing behind it, and why."""

    generation: int
    server_started: int
    statistics_reset: int
    transactions: int
    confirmed: Lsn
    broken: str


async def look_at_change_stream(
    session: DedicatedSession, slot: str, publication: str, limit: timedelta
) -> ChangeStreamLook:
    """Return what the primary says now."""
    row = await session.row(SQL["look_at_change_stream"], slot, publication, limit=limit)
    if row is None:
        raise Unavailable("the primary said nothing of its change stream")
    return ChangeStreamLook(
        wal_level=row["wal_level"],
        server_started=row["server_started"],
        present=row["present"],
        plugin=row["plugin"] or "",
        of_this_database=row["of_this_database"] is True,
        wal_status=row["wal_status"] or "",
        invalidation=row["invalidation_reason"] or "",
        confirmed=Lsn(row["confirmed"] or 0),
        transactions=row["transactions"],
        statistics_reset=row["statistics_reset"],
        held_back=row["held_back"],
        whole_rows=row["whole_rows"],
        publication_as_made=row["publication_as_made"] is True,
        published=frozenset(row["published"]),
    )


async def known_change_stream(session: DedicatedSession, slot: str, limit: timedelta) -> KnownStream | None:
    """Return the slot as it was last seen by any monitor, or None: never."""
    row = await session.row(SQL["known_change_stream"], slot, limit=limit)
    if row is None:
        return None
    return KnownStream(
        row["generation"],
        row["server_started"],
        row["statistics_reset"],
        row["transactions"],
        Lsn(row["confirmed"]),
        row["broken_because"] or "",
    )


async def remember_change_stream(session: DedicatedSession, slot: str, seen: KnownStream, limit: timedelta) -> None:
    """Keep the slot as seen in this generation. What is broken stays so until it is accepted, in a generation more."""
    await session.execute(
        SQL["remember_change_stream"],
        slot, seen.server_started, seen.statistics_reset, seen.transactions, seen.confirmed.bytes, seen.broken or None,
        seen.generation, limit=limit,
    )  # fmt: skip
