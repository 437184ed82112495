"""Epochs as PostgreSQL keeps them, and what it says about where one timeline forked off another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.dedicated import DedicatedSession
from atlaskit.postgres.probes import SQL

_SWITCH = re.compile(r"^\s*([0-9]+)\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})", re.MULTILINE)

# Earlier timelines of a history, each with the position up to which it is part of it.
Forks = Mapping[int, Lsn]


@dataclass(frozen=True, slots=True)
class RegisteredEpoch:
    """An epoch in table `epochs`. `forks` None: not known. `withdrawn` tells why nothing is proven in it any more."""

    number: int
    forks: Forks | None = None
    withdrawn: str = ""


async def registered_epochs(session: DedicatedSession, limit: timedelta) -> dict[SourceIdentity, RegisteredEpoch]:
    """Return the epochs that PostgreSQL knows."""
    rows = await session.fetch(SQL["registered_epochs"], limit=limit)
    return {
        SourceIdentity(row["system_identifier"], row["timeline"]): RegisteredEpoch(
            row["epoch"], _stored(row["ancestors"]), row["withdrawn_because"] or ""
        )
        for row in rows
    }


async def register_epoch(session: DedicatedSession, epoch: int, owner: SourceIdentity, limit: timedelta) -> None:
    """Register the number if this server is that primary on that timeline and neither is registered; else nothing."""
    values = (epoch, owner.system_identifier, owner.timeline, f"{owner.timeline:08X}")
    await session.execute(SQL["register_epoch"], *values, limit=limit)


async def withdraw_epoch(session: DedicatedSession, epoch: int, because: str, limit: timedelta) -> None:
    """Note that nothing is proven in the epoch any more, so that ingest accepts no write in it either."""
    await session.execute(SQL["withdraw_epoch"], epoch, because, limit=limit)


async def read_forks(session: DedicatedSession, timeline: int, limit: timedelta) -> Forks | None:
    """Return where the timelines before this one end in its history; None: PostgreSQL has no record of it."""
    if timeline == 1:
        return {}
    history = await session.value(SQL["timeline_history"], timeline, limit=limit)
    return None if history is None else forks_of(history)


async def store_forks(session: DedicatedSession, epoch: int, forks: Forks, limit: timedelta) -> None:
    """Keep the forks with the epoch, unless there are some already."""
    text = json.dumps([[timeline, position.bytes] for timeline, position in sorted(forks.items())])
    await session.execute(SQL["store_ancestors"], epoch, text, limit=limit)


def forks_of(history: str) -> Forks:
    """Return what a timeline's history file says: each ancestor with its switch point.

    >>> forks_of("1 0/3000060 no recovery target specified")
    {1: Lsn(bytes=50331744)}
    """
    return {int(timeline): Lsn.parse(position) for timeline, position in _SWITCH.findall(history)}


def _stored(ancestors: str | None) -> Forks | None:
    return None if ancestors is None else {timeline: Lsn(position) for timeline, position in json.loads(ancestors)}
