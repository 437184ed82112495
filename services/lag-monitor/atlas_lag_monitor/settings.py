"""What a lag monitor is told at its start."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from atlaskit.config import ServiceSettings, Span
from atlaskit.freshness.reading import PrimaryMode
from pydantic import PositiveInt


class ReplicaKind(StrEnum):
    """How a replica follows its primary, and so how it is asked."""

    STREAMING = "streaming"  # by WAL, as PostgreSQL's own standbys do
    AURORA = "aurora"  # by the storage that it shares with the writer; nothing of it is proven


class Settings(ServiceSettings):
    """Settings of the lag monitor, on top of those that every service has."""

    postgres_dsn: str  # the primary, as atlas_monitor; its absence stops the start
    replica_dsn: str | None = None  # the streaming replica, as atlas_monitor; unset: there is none
    replica_kind: ReplicaKind = ReplicaKind.STREAMING  # aurora: asked by aurora_replica_status()
    clickhouse_url: str  # http://host:port/atlas
    kafka_bootstrap: str  # host:port[,host:port]
    primary_mode: PrimaryMode = PrimaryMode.SINGLE  # quorum needs synchronous standbys, or nothing is proven
    slot: str = "debezium_atlas_slot"  # the replication slot that feeds ClickHouse
    publication: str = "atlas_publication"  # what it publishes
    fence_interval: Span = timedelta(milliseconds=20)  # a replica's proven staleness is at best about this
    fence_timeout: Span = timedelta(seconds=1)  # then there is no new fence, and ages grow
    primary_beat_interval: Span = timedelta(
        milliseconds=25
    )  # in mode quorum, a primary's staleness is at best about this
    primary_beat_timeout: Span = timedelta(seconds=5)  # a commit may wait so long for the synchronous standbys
    beat_interval: Span = timedelta(milliseconds=100)  # OLAP's staleness is at best about this and the way of a row
    beat_timeout: Span = timedelta(seconds=5)  # then the beat is in doubt, and its number is not used again
    poll_interval: Span = timedelta(milliseconds=75)  # between two looks at the replica; only routes
    # between two looks at ClickHouse; each costs the engine about 5 ms, and it only routes
    olap_poll_interval: Span = timedelta(milliseconds=300)
    poll_timeout: Span = timedelta(milliseconds=500)  # a copy that takes longer counts as not reachable
    epoch_timeout: Span = timedelta(seconds=10)  # one attempt at registering an epoch, each step
    watchers: PositiveInt = 64  # open WatchLag streams; one more is RESOURCE_EXHAUSTED
