"""What `keeper` is told at its start."""

from __future__ import annotations

from datetime import timedelta

from atlaskit.config import ServiceSettings, Span
from pydantic import Field, PositiveInt


class Settings(ServiceSettings):
    """Settings of `keeper`; each is read from `ATLAS_` and its name in upper case."""

    postgres_dsn: str  # the primary, as role atlas_keeper; no default: its absence stops the start
    months_ahead: int = Field(default=2, ge=1, le=120)  # partitions of the history; a month without one refuses writes
    days_ahead: int = Field(default=14, ge=1, le=400)  # partitions of the ledger; a day without one refuses writes
    request_age: Span = Field(default=timedelta(hours=24), ge=timedelta(hours=24))  # a repeat is recognised this long
    request_batch: PositiveInt = 5_000  # answers deleted in one transaction
    request_batches: PositiveInt = 1_000  # transactions in one run; what is left waits for the next
