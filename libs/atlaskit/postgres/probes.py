"""What a server of PostgreSQL says about itself: which one it is, how far it is, and whether it keeps its promises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Final

from atlaskit.errors import Unavailable
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.pool import Session
from atlaskit.sql import load

SQL: Final = load(files("atlaskit.postgres") / "queries")


@dataclass(frozen=True, slots=True)
class PrimaryLook:
    """What a primary said in one statement. In recovery it is none: `identity` and `flushed` are None then."""

    in_recovery: bool
    identity: SourceIdentity | None
    flushed: Lsn | None
    synchronous_commit: str
    has_synchronous_standbys: bool
    fsync: bool
    full_page_writes: bool = True
    synchronous_commit_elsewhere: tuple[str, ...] = ()  # what roles and databases are given in its place


@dataclass(frozen=True, slots=True)
class ReplicaLook:
    """What a standby said in one statement. `replayed` None: nothing yet; `receiver_*` None: no receiver runs."""

    in_recovery: bool
    replayed: Lsn | None
    system_identifier: int
    receiver_status: str | None
    receiver_timeline: int | None


async def look_at_primary(session: Session, limit: timedelta) -> PrimaryLook:
    """Return what the primary says now. Every commit acknowledged before the call ends at or below `flushed`."""
    row = await session.row(SQL["look_at_primary"], limit=limit)
    if row is None:
        raise Unavailable("the primary said nothing of itself")
    found = None if row["in_recovery"] else identity(row["system_identifier"], row["timeline"])
    return PrimaryLook(
        in_recovery=row["in_recovery"],
        identity=found,
        flushed=None if row["flushed"] is None else Lsn(row["flushed"]),
        synchronous_commit=row["synchronous_commit"],
        has_synchronous_standbys=row["has_synchronous_standbys"],
        fsync=row["fsync"],
        full_page_writes=row["full_page_writes"],
        synchronous_commit_elsewhere=tuple(row["synchronous_commit_elsewhere"]),
    )


async def look_at_replica(session: Session, limit: timedelta) -> ReplicaLook:
    """Return what the standby says now. A later statement on this very session shows all that it has replayed."""
    row = await session.row(SQL["look_at_replica"], limit=limit)
    if row is None:
        raise Unavailable("the replica said nothing of itself")
    return ReplicaLook(
        in_recovery=row["in_recovery"],
        replayed=None if row["replayed"] is None else Lsn(row["replayed"]),
        system_identifier=row["system_identifier"],
        receiver_status=row["status"],
        receiver_timeline=row["received_tli"],
    )


def identity(system_identifier: int, timeline: str) -> SourceIdentity:
    """Return the identity of a system and the first eight digits of the name of its current log file.

    >>> identity(7, "0000000A")
    SourceIdentity(system_identifier=7, timeline=10)
    """
    return SourceIdentity(system_identifier, int(timeline, 16))
