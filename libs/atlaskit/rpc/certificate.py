"""Where a certificate of freshness meets the contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from atlas.freshness.v1 import freshness_pb2 as pb

from atlaskit.errors import AtlasError
from atlaskit.freshness.certificate import Certificate, PassedOver, PassedOverFor
from atlaskit.freshness.requirement import Policy, Requirement, UseCase
from atlaskit.model import Source
from atlaskit.rpc.times import duration_of, timestamp_of

E = TypeVar("E", bound=AtlasError)

_USE_CASES: Mapping[UseCase, pb.UseCase.ValueType] = MappingProxyType(
    {one: pb.UseCase.Value(f"USE_CASE_{one.name}") for one in UseCase}
)
_POLICIES: Mapping[Policy, pb.FreshnessPolicy.ValueType] = MappingProxyType(
    {one: pb.FreshnessPolicy.Value(f"FRESHNESS_POLICY_{one.name}") for one in Policy}
)
_REASONS: Mapping[PassedOverFor, pb.FallbackReason.ValueType] = MappingProxyType(
    {one: pb.FallbackReason.Value(f"FALLBACK_REASON_{one.name}") for one in PassedOverFor}
)
_SOURCES: Mapping[Source, pb.DataSource.ValueType] = MappingProxyType(
    {one: pb.DataSource.Value(f"DATA_SOURCE_{one.name}") for one in Source}
)


def message_of(certificate: Certificate) -> pb.Freshness:
    """Return the certificate as the contract's message. What is None stays unset."""
    message = pb.Freshness(
        source=_source(certificate.source),
        requested=_requested(certificate.requirement),
        fallbacks=map(_fallback, certificate.fallbacks),
        degraded=certificate.degraded,
        session_token="" if certificate.session_token is None else str(certificate.session_token),
        excludes_failover_loss=certificate.excludes_failover_loss,
    )
    message.read_time.CopyFrom(timestamp_of(certificate.read_time))
    if certificate.staleness is not None:
        message.staleness.CopyFrom(duration_of(certificate.staleness))
        message.basis = pb.PROOF_BASIS_BOOT_CLOCK
    if certificate.epoch is not None and certificate.lsn is not None:
        message.position.epoch = certificate.epoch
        message.position.wal_position_bytes = certificate.lsn.bytes
        message.position.beat = certificate.beat or 0
    if certificate.replication_lag is not None:
        message.replication_lag.CopyFrom(duration_of(certificate.replication_lag))
    return message


def certified(error: E, certificate: Certificate | pb.Freshness) -> E:
    """Return the error with a certificate, which then goes into the details of its status and into initial metadata."""
    vars(error)["certificate"] = certificate
    return error


def freshness_of(error: BaseException) -> pb.Freshness | None:
    """Return the certificate that an error carries in its attribute `certificate`, as a message, or None."""
    carried = getattr(error, "certificate", None)
    if isinstance(carried, Certificate):
        return message_of(carried)
    return carried if isinstance(carried, pb.Freshness) else None


def _requested(requirement: Requirement) -> pb.Requested:
    return pb.Requested(
        use_case=_USE_CASES[requirement.use_case],
        max_staleness=duration_of(requirement.max_staleness),
        policy=_POLICIES[requirement.policy],
        at_least_token="" if requirement.at_least is None else str(requirement.at_least),
    )


def _fallback(passed: PassedOver) -> pb.Fallback:
    return pb.Fallback(
        source=_source(passed.source),
        reason=_REASONS[passed.reason],
        staleness=None if passed.staleness is None else duration_of(passed.staleness),
        likely_after=None if passed.likely_after is None else duration_of(passed.likely_after),
        missing_wal_bytes=passed.missing_bytes,
    )


def _source(source: Source | None) -> pb.DataSource.ValueType:
    return pb.DATA_SOURCE_UNSPECIFIED if source is None else _SOURCES[source]
