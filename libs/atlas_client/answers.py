"""What the calls return, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from atlas.ingest.v1 import ingest_service_pb2 as ingest_pb
from atlas.query.v1 import query_service_pb2 as query_pb

from atlas_client.errors import CallFailed
from atlas_client.freshness import Freshness, freshness_of
from atlas_client.values import Scalar, from_message, instant_of


class Identity(StrEnum):
    """How a tenant names its entities."""

    KEYED = "keyed"
    NUMBERED = "numbered"


class AckLevel(StrEnum):
    """How far a write has come."""

    COMMITTED = "committed"  # durable on the primary
    REPLICATED = "replicated"  # visible on every replica
    OLAP_VISIBLE = "olap_visible"  # visible in ClickHouse


@dataclass(frozen=True, slots=True)
class Tenant:
    """A registered tenant."""

    tenant_id: int
    name: str
    identity: Identity
    shard_spread: int
    attribute_key_quota: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the item at `index` of a request was not stored."""

    index: int
    reason: str
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch. `token` makes a later read reflect it; empty only when nothing was stored.

    `acknowledged` is empty when nothing was stored; `repeated` means that this is the answer to an earlier attempt.
    """

    request_id: str
    stored: int
    superseded: int
    refused: int
    refusals: tuple[Refusal, ...]
    token: str
    acknowledged: str
    committed_at: datetime | None
    repeated: bool
    trace_id: str


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one batch of a stream: `written`, or `error` if it was refused whole."""

    request_id: str
    written: Written | None
    error: CallFailed | None


@dataclass(frozen=True, slots=True)
class Observed:
    """One observed value. `value` is None for a type that this release does not know."""

    attribute: str
    value: Scalar | None
    event_time: datetime
    source_type: str


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity with the values asked for, by attribute. None: the copy that answered does not keep it."""

    tenant_id: int
    entity_id: int
    entity_key: str
    asset_type: str
    values: dict[str, Observed]
    created_at: datetime | None
    silence: timedelta | None


@dataclass(frozen=True, slots=True)
class EntityAnswer:
    """One entity and the certificate of the answer."""

    entity: Entity
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class EntityPage:
    """Entities; `next_page_token` is empty on the last page."""

    entities: tuple[Entity, ...]
    next_page_token: str
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Observations in the order asked for; `next_page_token` is empty on the last page."""

    observations: tuple[Observed, ...]
    next_page_token: str
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class AggregatePage:
    """Groups as the contract's messages; `next_page_token` is empty on the last page."""

    groups: tuple[query_pb.AggregateGroup, ...]
    next_page_token: str
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class AttributePage:
    """Attribute keys as the contract's messages; `next_page_token` is empty on the last page."""

    attributes: tuple[query_pb.AttributeDescription, ...]
    next_page_token: str
    freshness: Freshness


def tenant_of(message: ingest_pb.Tenant) -> Tenant:
    """Return the tenant of a message."""
    numbered = message.entity_identity == ingest_pb.ENTITY_IDENTITY_NUMBERED
    return Tenant(
        message.tenant_id,
        message.name,
        Identity.NUMBERED if numbered else Identity.KEYED,
        message.shard_spread,
        message.attribute_key_quota,
        instant_of(message.create_time),
    )


def written_of(
    request_id: str, message: ingest_pb.WriteAttributesResponse | ingest_pb.DeleteAttributesResponse
) -> Written:
    """Return what became of a batch of writes or deletes."""
    write = message if isinstance(message, ingest_pb.WriteAttributesResponse) else None
    return Written(
        request_id=request_id,
        stored=message.stored_count,
        superseded=write.superseded_count if write else 0,
        refused=len(message.refusals),
        refusals=_refusals(message.refusals),
        token=message.write_token,
        acknowledged=_ack_text(message.reached_ack_level),
        committed_at=instant_of(message.commit_time) if message.HasField("commit_time") else None,
        repeated=message.repeated,
        trace_id=write.trace_id if write else "",
    )


def entity_of(message: query_pb.Entity) -> Entity:
    """Return the entity of a message."""
    return Entity(
        tenant_id=message.tenant_id,
        entity_id=message.entity_id,
        entity_key=message.entity_key,
        asset_type=message.asset_type,
        values={value.attribute_key: observed_of(value.attribute_key, value) for value in message.values},
        created_at=instant_of(message.create_time) if message.HasField("create_time") else None,
        silence=message.silence.ToTimedelta() if message.HasField("silence") else None,
    )


def observed_of(attribute: str, message: query_pb.CurrentValue | query_pb.Observation) -> Observed:
    """Return the observation of a message."""
    return Observed(attribute, from_message(message.value), instant_of(message.event_time), message.source_type)


def entity_answer_of(message: query_pb.GetEntityResponse) -> EntityAnswer:
    """Return the entity and its certificate."""
    return EntityAnswer(entity_of(message.entity), freshness_of(message.freshness))


def _refusals(messages: Iterable[ingest_pb.ItemRefusal]) -> tuple[Refusal, ...]:
    return tuple(Refusal(one.item_index, one.reason, one.field, one.message) for one in messages)


def _ack_text(level: int) -> str:
    known = ingest_pb.AckLevel.DESCRIPTOR.values_by_number.get(level)
    return known.name.removeprefix("ACK_LEVEL_").lower() if known and level else ""
