"""Polls of the copies: where it is worth looking for a fresh answer. Nothing here is a proof."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import NoReturn, TypeAlias

from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clickhouse.watermark import read_watermarks
from atlaskit.errors import Unavailable
from atlaskit.model import Source
from atlaskit.postgres.aurora import look_at_aurora_reader
from atlaskit.postgres.dedicated import open_session
from atlaskit.postgres.pool import Session
from atlaskit.postgres.probes import look_at_replica

from atlas_lag_monitor.evidence import Evidence, Poll
from atlas_lag_monitor.polls import OLAP_PLACES, aurora_poll, olap_poll, replica_poll
from atlas_lag_monitor.settings import ReplicaKind, Settings
from atlas_lag_monitor.supervision import ticks


async def poll_replica(dsn: str, settings: Settings, evidence: Evidence) -> NoReturn:
    """Poll the replica until its connection fails or it is none any more; then raise that error."""
    limit = settings.poll_timeout
    async with open_session(dsn, "atlas-lag-replica", connect_limit=limit) as session:
        async for _ in ticks(settings.poll_interval):
            poll, follows = await PROBES[settings.replica_kind](session, limit, evidence)
            evidence.polled(Source.REPLICA, poll)
            if not follows:
                # It was promoted under this session, which survives that; the name may lead to a standby by now.
                raise Unavailable(poll.problem)
    raise AssertionError("ticks have no end")


async def ask_standby(session: Session, limit: timedelta, evidence: Evidence) -> tuple[Poll, bool]:
    """Return how far a standby of PostgreSQL is, and whether it is one."""
    look = await look_at_replica(session, limit)
    return replica_poll(look, evidence), look.in_recovery


async def ask_aurora(session: Session, limit: timedelta, _: Evidence) -> tuple[Poll, bool]:
    """Return how far an Aurora reader says it is, and whether it is one."""
    look = await look_at_aurora_reader(session, limit)
    return aurora_poll(look), look.is_reader


Probe: TypeAlias = Callable[[Session, timedelta, Evidence], Awaitable[tuple[Poll, bool]]]
PROBES: Mapping[ReplicaKind, Probe] = {ReplicaKind.STREAMING: ask_standby, ReplicaKind.AURORA: ask_aurora}


async def poll_olap(clickhouse: ClickHouse, settings: Settings, evidence: Evidence) -> NoReturn:
    """Poll ClickHouse until a call fails; then raise that error."""
    async for _ in ticks(settings.olap_poll_interval):
        marks = await read_watermarks(clickhouse, OLAP_PLACES, settings.poll_timeout)
        evidence.polled(Source.OLAP, olap_poll(marks, evidence))
    raise AssertionError("ticks have no end")
