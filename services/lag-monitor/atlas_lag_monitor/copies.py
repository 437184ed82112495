"""Polls of the copies: where it is worth looking for a fresh answer. Nothing here is a proof."""

from __future__ import annotations

from typing import NoReturn

from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clickhouse.watermark import read_watermarks
from atlaskit.errors import Unavailable
from atlaskit.model import Source
from atlaskit.postgres.dedicated import open_session
from atlaskit.postgres.probes import look_at_replica

from atlas_lag_monitor.evidence import Evidence
from atlas_lag_monitor.polls import OLAP_PLACES, olap_poll, replica_poll
from atlas_lag_monitor.settings import Settings
from atlas_lag_monitor.supervision import ticks


async def poll_replica(dsn: str, settings: Settings, evidence: Evidence) -> NoReturn:
    """Poll the replica until its connection fails or it is none any more; then raise that error."""
    limit = settings.poll_timeout
    async with open_session(dsn, "atlas-lag-replica", connect_limit=limit) as session:
        async for _ in ticks(settings.poll_interval):
            look = await look_at_replica(session, limit)
            evidence.polled(Source.REPLICA, replica_poll(look, evidence))
            if not look.in_recovery:
                # It was promoted under this session, which survives that; the name may lead to a standby by now.
                raise Unavailable("is not in recovery: not a standby")
    raise AssertionError("ticks have no end")


async def poll_olap(clickhouse: ClickHouse, settings: Settings, evidence: Evidence) -> NoReturn:
    """Poll ClickHouse until a call fails; then raise that error."""
    async for _ in ticks(settings.olap_poll_interval):
        marks = await read_watermarks(clickhouse, OLAP_PLACES, settings.poll_timeout)
        evidence.polled(Source.OLAP, olap_poll(marks, evidence))
    raise AssertionError("ticks have no end")
