"""Beats in the tables: markers that queue behind the rows, and the row that shows that commits are acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from uuid import UUID

from atlaskit.errors import Unavailable
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.dedicated import DedicatedSession
from atlaskit.postgres.probes import SQL, identity


class PlacesOf(IntEnum):
    """Whose places; the numbers are the first keys of the advisory locks, and belong to Atlas alone."""

    BEATS = 0x61744C01
    PRIMARY_BEATS = 0x61744C02


async def take_place(session: DedicatedSession, places: PlacesOf, limit: timedelta) -> int:
    """Return a place (0 to 7) that is this session's until it ends. Raises Unavailable when all are taken."""
    place: int | None = await session.value(SQL["take_place"], int(places), limit=limit)
    if place is None:
        raise Unavailable(f"all 8 places of {places.name.lower()} are taken by other monitors")
    return place


@dataclass(frozen=True, slots=True)
class BeatRow:
    """What every row of a beat says. `number` is never reused by `monitor`; `lsn` was read before the beat is sent."""

    place: int
    monitor: UUID
    number: int
    epoch: int
    lsn: Lsn


async def commit_beat(session: DedicatedSession, beat: BeatRow, limit: timedelta) -> bool:
    """Commit the rows of a beat with the vector of all writers; return False if it was acknowledged with a warning.

    After an error or a cancellation the beat is in doubt: never use its number again.
    """
    before = session.warnings
    values = (beat.place, beat.monitor, beat.number, beat.epoch, beat.lsn.bytes)
    await session.execute(SQL["commit_beat"], *values, limit=limit)
    return session.warnings == before


async def commit_primary_beat(
    session: DedicatedSession, place: int, monitor: UUID, number: int, limit: timedelta
) -> SourceIdentity | None:
    """Commit the primary's beat; return which primary and timeline acknowledged it, or None if with a warning.

    The warning says that the wait for the synchronous standbys was given up: the commit may be lost by a failover.
    """
    before = session.warnings
    row = await session.row(SQL["commit_primary_beat"], place, monitor, number, limit=limit)
    if row is None or session.warnings != before:
        return None
    return identity(row["system_identifier"], row["timeline"])
