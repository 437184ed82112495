"""The certificate of freshness that goes with an answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from atlaskit.clock import BootInstant
from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.requirement import Requirement
from atlaskit.model import Source
from atlaskit.position import Lsn, Token


class PassedOverFor(StrEnum):
    """Why a source did not answer."""

    TOO_STALE = "too stale"
    UNKNOWN = "staleness unknown"
    UNAVAILABLE = "unavailable"
    TOKEN_NOT_COVERED = "token not covered"  # noqa: S105 - a reason, not a secret
    NOT_SUPPORTED = "not supported"
    BUDGET_EXHAUSTED = "cap on fallbacks reached"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A source that was considered and did not answer. Every None: unknown.

    `likely_after` is when it is likely to do, an estimate; `missing_bytes` how much of the log it lacks for a token.
    """

    source: Source
    reason: PassedOverFor
    staleness: timedelta | None = None
    likely_after: timedelta | None = None
    missing_bytes: int | None = None

    def __str__(self) -> str:
        known = []
        if self.staleness is not None:
            known.append(f"{self.staleness.total_seconds() * 1000:.3f} ms")
        if self.missing_bytes is not None:
            known.append(f"{self.missing_bytes} bytes short")
        if self.likely_after is not None:
            known.append(f"likely in {self.likely_after.total_seconds() * 1000:.0f} ms")
        return f"{self.source}: {self.reason}" + (f" ({', '.join(known)})" if known else "")


@dataclass(frozen=True, slots=True)
class Certificate:
    """How fresh one answer is proven to be. `staleness` None: unknown, which never counts as fresh."""

    source: Source | None
    staleness: timedelta | None
    requirement: Requirement
    read_time: datetime
    epoch: int | None = None
    lsn: Lsn | None = None
    beat: int | None = None
    fallbacks: tuple[PassedOver, ...] = ()
    degraded: bool = False
    session_token: Token | None = None
    replication_lag: timedelta | None = None
    excludes_failover_loss: bool = False


def certify(
    source: Source,
    proof: Proof | None,
    received: BootInstant,
    requirement: Requirement,
    read_time: datetime,
    *,
    fallbacks: tuple[PassedOver, ...] = (),
    session_token: Token | None = None,
    replication_lag: timedelta | None = None,
) -> Certificate:
    """Return the certificate of an answer that `source` gave to a request received at that instant."""
    staleness = None if proof is None else proof.staleness(received)
    return Certificate(
        source=source,
        staleness=staleness,
        requirement=requirement,
        read_time=read_time,
        epoch=None if proof is None else proof.epoch,
        lsn=None if proof is None else proof.lsn,
        beat=None if proof is None else proof.beat,
        fallbacks=fallbacks,
        degraded=staleness is None or staleness > requirement.max_staleness,
        session_token=session_token,
        replication_lag=replication_lag,
        excludes_failover_loss=proof is not None and proof.excludes_failover_loss,
    )
