"""What an Aurora reader says about itself. It shares the writer's storage: it receives no WAL and is no standby."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from atlaskit.errors import Unavailable
from atlaskit.postgres.pool import Session
from atlaskit.postgres.probes import SQL


@dataclass(frozen=True, slots=True)
class AuroraLook:
    """What a reader said of itself and of its writer, in one statement.

    `is_reader` False: this connection ended at the writer. `durable` is the volume's position by the writer's word and
    `read` that of the reader's newest snapshot; both are Aurora's own numbers, of another kind than those of WAL. `lag`
    is Aurora's estimate. None: it did not say.
    """

    is_reader: bool
    durable: int | None
    read: int | None
    lag: timedelta | None


async def look_at_aurora_reader(session: Session, limit: timedelta) -> AuroraLook:
    """Return what the reader says now. Raises as `Session` does, and where there is no Aurora."""
    row = await session.row(SQL["look_at_aurora_reader"], limit=limit)
    if row is None:
        raise Unavailable("aurora_replica_status() does not list the instance that was asked")
    lag = row["replica_lag_in_msec"]
    return AuroraLook(
        is_reader=row["is_reader"],
        durable=row["writer_durable_lsn"],
        read=row["current_read_lsn"],
        lag=None if lag is None or lag < 0 else timedelta(milliseconds=float(lag)),
    )
