"""What `ingest` is told at its start."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from atlaskit.config import ServiceSettings, Span
from atlaskit.model import MAX_ROWS_PER_TRANSACTION
from pydantic import Field, PositiveInt


class PrimaryMode(StrEnum):
    """What makes a commit durable."""

    SINGLE = "single"  # the primary's disk
    QUORUM = "quorum"  # that of its synchronous standbys too


class Settings(ServiceSettings):
    """Settings of `ingest`; each is read from `ATLAS_` and its name in upper case."""

    postgres_dsn: str  # the primary, as role atlas_ingest; no default: its absence stops the start
    primary_mode: PrimaryMode = PrimaryMode.SINGLE
    writers: int = Field(default=3, ge=1, le=16)  # connections that commit; each is a writer in the ledger
    queue_rows: PositiveInt = 200_000  # items waiting for a commit; one batch more is RESOURCE_EXHAUSTED
    queue_bytes: PositiveInt = 256 * 1024 * 1024  # the same in decoded bytes
    group_rows: int = Field(default=50_000, ge=1, le=MAX_ROWS_PER_TRANSACTION - 50_000)  # items of one transaction
    transaction_limit: Span = timedelta(seconds=20)  # a transaction that takes longer is rolled back
    names: PositiveInt = 200_000  # dictionary entries remembered; about 200 bytes each
    lookups: int = Field(default=2, ge=1, le=16)  # connections that read and register tenants
