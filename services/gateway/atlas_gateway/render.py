"""From the contract's messages to the gateway's bodies and headers."""

from __future__ import annotations

import base64
from datetime import UTC

from atlas.freshness.v1 import freshness_pb2 as fresh
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1.query_service_pb2 import CurrentValue, GetEntityResponse
from atlaskit.position import Lsn
from atlaskit.rpc.freshness_metadata import metadata_of
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from atlas_gateway.bodies import Certificate, Fallback, Position, Requested, Status, Value

HEADERS = {
    "x-data-source": "X-Data-Source",
    "x-data-freshness-ms": "X-Data-Freshness-Ms",
    "x-data-timestamp": "X-Data-Timestamp",
    "x-replication-lag-ms": "X-Replication-Lag-Ms",
}


def headers_of(freshness: fresh.Freshness) -> dict[str, str]:
    """Return the four headers of a certificate. What is unknown has no header."""
    return {HEADERS[key]: text for key, text in metadata_of(freshness)}


def status_of(answer: GetEntityResponse) -> Status:
    """Return the body of an answer."""
    entity = answer.entity
    return Status(
        tenant_id=entity.tenant_id,
        entity_id=str(entity.entity_id),
        entity_key=entity.entity_key,
        asset_type=entity.asset_type,
        created_at=_instant(entity.create_time) if entity.HasField("create_time") else None,
        silence_ms=_milliseconds(entity.silence) if entity.HasField("silence") else None,
        values={value.attribute_key: _value(value) for value in entity.values},
        freshness=certificate_of(answer.freshness),
    )


def certificate_of(freshness: fresh.Freshness) -> Certificate:
    """Return the body of a certificate. What is unknown is null."""
    return Certificate(
        source=_name(fresh.DataSource.DESCRIPTOR, freshness.source),
        staleness_ms=_milliseconds(freshness.staleness) if freshness.HasField("staleness") else None,
        position=_position(freshness.position) if freshness.HasField("position") else None,
        requested=_requested(freshness.requested) if freshness.HasField("requested") else None,
        fallbacks=[_fallback(fallback) for fallback in freshness.fallbacks],
        basis=_name(fresh.ProofBasis.DESCRIPTOR, freshness.basis),
        degraded=freshness.degraded,
        session_token=freshness.session_token,
        read_time=_instant(freshness.read_time) if freshness.HasField("read_time") else None,
        replication_lag_ms=_milliseconds(freshness.replication_lag) if freshness.HasField("replication_lag") else None,
        excludes_failover_loss=freshness.excludes_failover_loss,
    )


def _value(current: CurrentValue) -> Value:
    kind = current.value.WhichOneof("kind")
    return Value(
        type=kind.removesuffix("_value") if kind else "unknown",
        value=plain(current.value),
        event_time=_instant(current.event_time) if current.HasField("event_time") else None,
        source_type=current.source_type,
    )


def plain(value: AttributeValue) -> str | float | bool:
    """Return a value as JSON can carry it without loss: integers as decimal text, bytes as base64."""
    kind = value.WhichOneof("kind")
    match kind:
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode("ascii")
        case "int64_value" | "uint64_value":
            return str(getattr(value, kind))
        case "bool_value" | "double_value" | "string_value":
            found: str | float | bool = getattr(value, kind)
            return found
        case _:
            return ""  # of a type that is newer than this gateway; `type` says so


def _position(position: fresh.Position) -> Position:
    return Position(epoch=position.epoch, lsn=str(Lsn(position.wal_position_bytes)), beat=position.beat or None)


def _requested(requested: fresh.Requested) -> Requested:
    return Requested(
        use_case=_name(fresh.UseCase.DESCRIPTOR, requested.use_case) or "",
        max_staleness_ms=_milliseconds(requested.max_staleness) if requested.HasField("max_staleness") else None,
        policy=_name(fresh.FreshnessPolicy.DESCRIPTOR, requested.policy) or "",
        at_least=requested.at_least_token,
    )


def _fallback(fallback: fresh.Fallback) -> Fallback:
    return Fallback(
        source=_name(fresh.DataSource.DESCRIPTOR, fallback.source) or "",
        reason=_name(fresh.FallbackReason.DESCRIPTOR, fallback.reason) or "",
        staleness_ms=_milliseconds(fallback.staleness) if fallback.HasField("staleness") else None,
        likely_after_ms=_milliseconds(fallback.likely_after) if fallback.HasField("likely_after") else None,
    )


def _name(enum: EnumDescriptor, number: int) -> str | None:
    """Return the name of a number as people read it, None for 0; a number newer than this release as digits."""
    if not number:
        return None
    named = enum.values_by_number.get(number)
    if named is None:
        return str(number)
    zero: str = enum.values_by_number[0].name
    return str(named.name).removeprefix(zero.removesuffix("UNSPECIFIED")).lower()


def _milliseconds(span: Duration) -> float:
    return span.ToNanoseconds() / 1e6


def _instant(instant: Timestamp) -> str:
    return instant.ToDatetime(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
