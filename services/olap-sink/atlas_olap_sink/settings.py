"""What the sink can be told."""

from __future__ import annotations

from pathlib import Path

from atlaskit.config import Address, ServiceSettings, Span, parse_span
from pydantic import Field, PositiveInt


class Settings(ServiceSettings):
    """Settings of the sink; those of every service stand in `ServiceSettings`."""

    postgres_dsn: str  # the primary, as role atlas_sink: dictionaries and epochs
    clickhouse_url: str  # http://user:password@host:port/database
    kafka_bootstrap: Address
    kafka_group: str = "atlas-olap-sink"  # offsets are kept under this name
    share: bool = False  # divide the shards with the other processes of the group; else each process has all of them
    batch_rows: PositiveInt = Field(default=20_000, le=200_000)  # records taken at a time; bounds memory
    # For more after a first record; no longer than until a beat has come everywhere.
    gather: Span = Field(default=parse_span("30ms"), validate_default=True)
    commit_period: Span = Field(default=parse_span("1s"), validate_default=True)  # between two commits of offsets
    # Without a record from partitions that grow, until the consumer is replaced.
    kafka_silence: Span = Field(default=parse_span("20s"), validate_default=True)
    call_limit: Span = Field(default=parse_span("30s"), validate_default=True)  # one call to ClickHouse
    dictionary_texts: PositiveInt = 1_000_000  # texts of each dictionary kept in memory, about 150 bytes each
    quarantine_file: Path | None = None  # events that cannot be stored, as JSON lines; unset: only the log
