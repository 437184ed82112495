"""What a caller asks of an answer's age, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from atlas.freshness.v1 import freshness_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from atlas_client.values import instant_of


class Source(StrEnum):
    """A copy that answered."""

    UNSPECIFIED = "unspecified"
    PRIMARY = "primary"
    REPLICA = "replica"
    OLAP = "olap"
    LAKE = "lake"
    MIXED = "mixed"


class UseCase(StrEnum):
    """A row of the freshness budget matrix: limit, then order of sources."""

    REALTIME_ALERT = "realtime_alert"  # 100 ms; primary
    DASHBOARD = "dashboard"  # 1 s; replica, primary
    OPERATIONAL_REPORT = "operational_report"  # 30 s; replica, primary
    ANALYTICS = "analytics"  # 5 min; OLAP, replica
    HISTORICAL = "historical"  # 1 h; OLAP, lake
    ML_TRAINING = "ml_training"  # 24 h; lake, OLAP


class Policy(StrEnum):
    """What happens when no source is fresh enough."""

    WAIT = "wait"
    FAIL_FAST = "fail_fast"
    DEGRADE = "degrade"


@dataclass(frozen=True, slots=True)
class Requirement:
    """How fresh an answer must be. All unset: OPERATIONAL_REPORT, or ANALYTICS for aggregates, and FAIL_FAST.

    `max_staleness` excludes `use_case`. `max_wait` None waits until just before the call's deadline.
    """

    use_case: UseCase | None = None
    max_staleness: timedelta | None = None
    at_least_token: str = ""
    policy: Policy | None = None
    max_wait: timedelta | None = None
    want_session_token: bool = False
    only_source: Source | None = None

    def __post_init__(self) -> None:
        if self.use_case is not None and self.max_staleness is not None:
            raise ValueError("use_case and max_staleness exclude each other")

    def at_least(self, token: str) -> Requirement:
        """Return the same with a token, and with the wish for the next one; a token of its own wins."""
        return replace(self, at_least_token=self.at_least_token or token, want_session_token=True)

    def message(self) -> pb.FreshnessRequirement:
        """Return it as the contract's message."""
        message = pb.FreshnessRequirement(
            at_least_token=self.at_least_token, want_session_token=self.want_session_token
        )
        if self.use_case is not None:
            message.use_case = pb.UseCase.Value(f"USE_CASE_{self.use_case.name}")
        if self.max_staleness is not None:
            message.max_staleness.FromTimedelta(self.max_staleness)
        if self.policy is not None:
            message.policy = pb.FreshnessPolicy.Value(f"FRESHNESS_POLICY_{self.policy.name}")
        if self.max_wait is not None:
            message.max_wait.FromTimedelta(self.max_wait)
        if self.only_source is not None:
            message.only_source = pb.DataSource.Value(f"DATA_SOURCE_{self.only_source.name}")
        return message


@dataclass(frozen=True, slots=True)
class Fallback:
    """A source that was passed over, why, and how stale it was; None: unknown.

    On refusals `likely_after` estimates when it will do, and `missing_wal_bytes` says how far it is from a token.
    """

    source: str
    reason: str
    staleness: timedelta | None
    likely_after: timedelta | None = None
    missing_wal_bytes: int | None = None

    def __str__(self) -> str:
        known = f" at {_milliseconds(self.staleness)}" if self.staleness is not None else ""
        likely = f", likely in {_milliseconds(self.likely_after)}" if self.likely_after is not None else ""
        return f"{self.source} ({self.reason.replace('_', ' ')}{known}{likely})"


@dataclass(frozen=True, slots=True)
class Freshness:
    """The certificate of one answer. Every None is unknown, which is neither zero nor fresh.

    `staleness` is a proven upper bound of the age of the newest acknowledged write that the answer may miss, counted
    back from when the request was sent. `read_time` and `replication_lag` are informational. `source` is a `Source`, or
    the name in lower case of one that came later.
    """

    source: str
    staleness: timedelta | None
    epoch: int | None
    wal_position_bytes: int | None
    beat: int | None
    fallbacks: tuple[Fallback, ...]
    degraded: bool
    session_token: str
    read_time: datetime | None
    replication_lag: timedelta | None
    excludes_failover_loss: bool

    @property
    def position(self) -> str:
        """Return the position in the write-ahead log as PostgreSQL writes it; empty when unknown."""
        position = self.wal_position_bytes
        return "" if position is None else f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"

    def __str__(self) -> str:
        parts = [
            self.source,
            "staleness unknown" if self.staleness is None else f"at most {_milliseconds(self.staleness)} stale",
        ]
        if self.epoch is not None and self.position:
            parts.append(f"epoch {self.epoch} at {self.position}")
        if self.beat is not None:
            parts.append(f"beat {self.beat}")
        if self.degraded:
            parts.append("degraded: older than asked for")
        if self.excludes_failover_loss:
            parts.append("without what a failover may have lost")
        if self.fallbacks:
            parts.append("passed over " + " and ".join(map(str, self.fallbacks)))
        return ", ".join(parts)


def freshness_of(message: pb.Freshness) -> Freshness:
    """Return the certificate of a message."""
    position = message.position
    return Freshness(
        source=_name(pb.DataSource.DESCRIPTOR, message.source, "DATA_SOURCE_"),
        staleness=_span(message.staleness) if message.HasField("staleness") else None,
        epoch=position.epoch or None,
        wal_position_bytes=position.wal_position_bytes or None,
        beat=position.beat or None,
        fallbacks=tuple(map(_fallback, message.fallbacks)),
        degraded=message.degraded,
        session_token=message.session_token,
        read_time=instant_of(message.read_time) if message.HasField("read_time") else None,
        replication_lag=_span(message.replication_lag) if message.HasField("replication_lag") else None,
        excludes_failover_loss=message.excludes_failover_loss,
    )


def _fallback(message: pb.Fallback) -> Fallback:
    return Fallback(
        _name(pb.DataSource.DESCRIPTOR, message.source, "DATA_SOURCE_"),
        _name(pb.FallbackReason.DESCRIPTOR, message.reason, "FALLBACK_REASON_"),
        _span(message.staleness) if message.HasField("staleness") else None,
        _span(message.likely_after) if message.HasField("likely_after") else None,
        message.missing_wal_bytes if message.HasField("missing_wal_bytes") else None,
    )


def _name(enum: object, number: int, prefix: str) -> str:
    known = getattr(enum, "values_by_number", {}).get(number)
    return known.name.removeprefix(prefix).lower() if known else f"unknown {number}"


def _span(message: Duration) -> timedelta:
    # Rounded up: a bound that was cut would claim more than was proven.
    return timedelta(seconds=message.seconds, microseconds=-(-message.nanos // 1000))


def _milliseconds(span: timedelta) -> str:
    tenths = -(-span // timedelta(microseconds=100))
    return f"{tenths / 10:.1f} ms" if tenths < 100_000 else f"{-(-tenths // 1000) / 10:.1f} s"
