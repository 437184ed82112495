"""The JSON that the gateway sends. Integers of 64 bits are strings, because JSON readers cut them at 2^53."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Value(Body):
    """One value with its type."""

    type: str = Field(description="int64, uint64, double, bool, string or bytes")
    value: str | float | bool = Field(description="int64 and uint64 as decimal text, bytes as base64")
    event_time: str | None = Field(description="When it was observed, RFC 3339 in UTC, microseconds")
    source_type: str = Field(description="The type as the source names it; empty: none")


class Position(Body):
    """A place in the order of commits."""

    epoch: int = Field(description="Epoch of the source, 1 to 255")
    lsn: str = Field(description="Position in the write-ahead log, as PostgreSQL writes it")
    beat: int | None = Field(description="OLAP only: number of the proven beat")


class Requested(Body):
    """What the answer had to satisfy."""

    use_case: str
    max_staleness_ms: float | None
    policy: str
    at_least: str


class Fallback(Body):
    """A source that was passed over."""

    source: str
    reason: str
    staleness_ms: float | None = Field(description="null: unknown")
    likely_after_ms: float | None = Field(description="On refusals: estimate of when it will do; null: unknown")


class Certificate(Body):
    """How fresh the answer is: every write acknowledged longer ago than `staleness_ms` is in it."""

    source: str | None
    staleness_ms: float | None = Field(description="Proven upper bound; null: unknown, which is never zero")
    position: Position | None
    requested: Requested | None
    fallbacks: list[Fallback]
    basis: str | None
    degraded: bool
    session_token: str = Field(description="For `at_least` of later reads; empty unless asked for")
    read_time: str | None
    replication_lag_ms: float | None
    excludes_failover_loss: bool


class Status(Body):
    """An entity with its current values."""

    tenant_id: int
    entity_id: str = Field(description="The platform's number, as decimal text")
    entity_key: str
    asset_type: str
    created_at: str | None
    silence_ms: float | None = Field(
        description="Age of the newest observation by event time; says nothing of freshness"
    )
    values: dict[str, Value]
    freshness: Certificate


class Problem(Body):
    """What went wrong, in the form of RFC 9457."""

    type: str = Field(description="urn:atlas:problem: and the reason in lower case")
    title: str
    status: int
    detail: str
    reason: str = Field(description="The reason in UPPER_SNAKE_CASE, for machines")
    field: str | None = Field(default=None, description="The parameter or header at fault")
    retry_after_ms: int | None = Field(default=None, description="Come again after this long")
    freshness: Certificate | None = Field(default=None, description="What was known when no source was fresh enough")


class Health(Body):
    """State of this process alone; the stores behind it do not count."""

    status: str
