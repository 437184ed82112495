"""What `ingest` is told at its start."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from atlaskit.config import IdentityMode, ServiceSettings, Span
from atlaskit.model import MAX_ROWS_PER_TRANSACTION
from pydantic import Field, PositiveInt


class PrimaryMode(StrEnum):
    """What makes a commit durable."""

    SINGLE = "single"  # the primary's disk
    QUORUM = "quorum"  # that of its synchronous standbys too


class CopyWay(StrEnum):
    """How rows reach the history."""

    DIRECT = "direct"  # by COPY
    STAGED = "staged"  # by COPY into a temporary table, and on by INSERT


class Settings(ServiceSettings):
    """Settings of `ingest`; each is read from `ATLAS_` and its name in upper case."""

    postgres_dsn: str  # the primary, as role atlas_ingest; no default: its absence stops the start
    identity: IdentityMode = IdentityMode.OPTIONAL  # required: a call says who it comes from and for which tenant
    primary_mode: PrimaryMode = PrimaryMode.SINGLE
    copy_way: CopyWay = CopyWay.DIRECT
    writers: int = Field(default=3, ge=1, le=16)  # connections that commit; each is a writer in the ledger
    queue_rows: PositiveInt = 200_000  # items waiting for a commit; one batch more is RESOURCE_EXHAUSTED
    queue_bytes: PositiveInt = 256 * 1024 * 1024  # the same in decoded bytes
    queue_age: Span = timedelta(seconds=30)  # a batch that waited so long is failed; the wait for a lost primary, too
    tenant_share: float = Field(default=0.5, gt=0, le=1)  # part of the queue that one tenant may hold
    in_flight_bytes: PositiveInt = 256 * 1024 * 1024  # encoded bytes of requests without an answer yet
    tenant_rows_per_second: float = Field(default=0, ge=0)  # items that each tenant may send; 0: no limit
    tenant_burst_rows: PositiveInt = 100_000  # items that a tenant may send at once, under that limit
    group_rows: int = Field(default=10_000, ge=1, le=MAX_ROWS_PER_TRANSACTION - 50_000)  # items of one transaction
    gather: Span = timedelta(milliseconds=20)  # under load, a small group waits for the one before it, at most so long
    transaction_limit: Span = timedelta(seconds=20)  # a transaction that takes longer is rolled back
    names: PositiveInt = 200_000  # dictionary entries remembered; about 200 bytes each
    known_entities: PositiveInt = 200_000  # entities remembered, so as not to be looked up; about 300 bytes each
    query_router: str = ""  # who proves REPLICATED and OLAP_VISIBLE; empty: these levels are refused
    ack_waiters: PositiveInt = 1_000  # batches that may wait for one of these levels at a time
    hot_attributes: int = Field(default=32, ge=0, le=1_000)  # promoted attributes of a tenant; each costs its writes
    backfill_entities: int = Field(
        default=200, ge=1, le=10_000
    )  # of one transaction of a backfill; their rows are locked
    backfill_rest: float = Field(default=1, ge=0, le=100)  # times as long as such a transaction, none follows
    backfill_poll: Span = timedelta(seconds=5)  # how often what another process promoted is looked for
    lookups: int = Field(default=2, ge=1, le=16)  # connections that read and register tenants
