"""Requests and answers of the services as events of the history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.ingest.v1 import ingest_service_pb2 as ipb
from atlas.query.v1 import query_service_pb2 as pb
from atlas_client import Freshness
from atlas_client.freshness import freshness_of
from checker.history import COUNT, CURRENT, HISTORY, Item, PassedOver, ReadAnswered, Seen

BEGIN_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Class:
    """A way of asking: a row of the budget matrix, a limit of one's own, or one copy and no other."""

    name: str  # a use case, or `within`
    limit: timedelta
    sources: tuple[str, ...]
    only: str = ""

    def requirement(self, policy: str, token: str, *, session: bool, wait: timedelta) -> fpb.FreshnessRequirement:
        """Return it as the contract's message."""
        message = fpb.FreshnessRequirement(
            at_least_token=token,
            policy=fpb.FreshnessPolicy.Value(f"FRESHNESS_POLICY_{policy.upper()}"),
            want_session_token=session,
        )
        message.max_wait.FromTimedelta(wait)
        if self.name == "within":
            message.max_staleness.FromTimedelta(self.limit)
        else:
            message.use_case = fpb.UseCase.Value(f"USE_CASE_{self.name.upper()}")
        if self.only:
            message.only_source = fpb.DataSource.Value(f"DATA_SOURCE_{self.only.upper()}")
        return message


# The rows of the matrix that the product serves today, one limit of its own, and each copy alone. Every question of a
# campaign is of one of these: after a healing it goes on until each was answered within its limit (C10).
CLASSES = (
    Class("realtime_alert", timedelta(milliseconds=100), ("primary",)),
    Class("dashboard", timedelta(seconds=1), ("replica", "primary")),
    Class("operational_report", timedelta(seconds=30), ("replica", "primary")),
    Class("analytics", timedelta(minutes=5), ("olap", "replica")),
    Class("historical", timedelta(hours=1), ("olap", "lake")),
    Class("within", timedelta(milliseconds=500), ("replica", "primary")),
    # The limits of the matrix are so wide that ClickHouse would meet them long after it stood still.
    Class("within", timedelta(seconds=10), ("olap",), "olap"),
    Class("dashboard", timedelta(seconds=1), ("replica",), "replica"),
    Class("dashboard", timedelta(seconds=1), ("primary",), "primary"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in both forms: the call's name with its request, and what the history says of it."""

    method: str
    request: pb.GetEntityRequest | pb.GetAttributeHistoryRequest | pb.ListEntitiesRequest | pb.AggregateAttributeRequest
    shape: str
    keys: tuple[str, ...]
    start: int | None = None


def entity(tenant: int, name: str, attributes: Iterable[str]) -> Asked:
    """The latest values of one entity."""
    wanted = tuple(attributes)
    request = pb.GetEntityRequest(tenant_id=tenant, entity_key=name, attribute_keys=wanted)
    return Asked("GetEntity", request, CURRENT, tuple(f"{name}/{attribute}" for attribute in wanted))


def listing(tenant: int, names: Iterable[str], attribute: str) -> Asked:
    """The latest value of one attribute of all entities."""
    request = pb.ListEntitiesRequest(tenant_id=tenant, attribute_keys=[attribute], page_size=1000)
    return Asked("ListEntities", request, CURRENT, tuple(f"{name}/{attribute}" for name in names))


def past(tenant: int, name: str, attribute: str, start: int) -> Asked:
    """The observations of one attribute from an event time on, in microseconds."""
    request = pb.GetAttributeHistoryRequest(
        tenant_id=tenant, entity_key=name, attribute_key=attribute, page_size=10_000
    )
    request.start_time.FromMicroseconds(start)
    return Asked("GetAttributeHistory", request, HISTORY, (f"{name}/{attribute}",), start)


def number(tenant: int, names: Iterable[str], attribute: str) -> Asked:
    """How many observations of one attribute there are."""
    request = pb.AggregateAttributeRequest(
        tenant_ids=[tenant],
        attribute_key=attribute,
        aggregations=[pb.Aggregation(function=pb.AGGREGATE_FUNCTION_COUNT)],
    )
    return Asked("AggregateAttribute", request, COUNT, tuple(f"{name}/{attribute}" for name in names))


def seen_of(asked: Asked, answer: object) -> tuple[tuple[Seen, ...], int | None]:
    """Return what an answer shows, and the number it counted if it counts."""
    match answer:
        case pb.GetEntityResponse():
            return tuple(_values(answer.entity)), None
        case pb.ListEntitiesResponse():
            return tuple(one for found in answer.entities for one in _values(found)), None
        case pb.GetAttributeHistoryResponse():
            assert not answer.next_page_token, "a page of the history was too small for the check"
            key = asked.keys[0]
            return tuple(
                Seen(key, one.event_time.ToMicroseconds(), one.value.int64_value) for one in answer.observations
            ), None
        case pb.AggregateAttributeResponse():
            return (), answer.groups[0].results[0].count
    raise AssertionError(f"no answer of these calls: {answer!r}")


def _values(found: pb.Entity) -> Iterable[Seen]:
    for value in found.values:
        key = f"{found.entity_key}/{value.attribute_key}"
        yield Seen(key, value.event_time.ToMicroseconds(), value.value.int64_value)


def answered(at: int, op: int, message: fpb.Freshness, seen: tuple[Seen, ...], rows: int | None) -> ReadAnswered:
    """Return the event of an answer with this certificate."""
    return certified(at, op, freshness_of(message), seen, rows)


def certified(at: int, op: int, freshness: Freshness, seen: tuple[Seen, ...], rows: int | None) -> ReadAnswered:
    """Return the event of an answer with a certificate that the client has read."""
    return ReadAnswered(
        at,
        op,
        freshness.source,
        _nanoseconds(freshness.staleness),
        seen,
        epoch=freshness.epoch,
        position=freshness.wal_position_bytes,
        beat=freshness.beat,
        degraded=freshness.degraded,
        excludes_loss=freshness.excludes_failover_loss,
        passed_over=passed_over(freshness),
        session_token=freshness.session_token,
        rows=rows,
    )


def passed_over(freshness: Freshness) -> tuple[PassedOver, ...]:
    """Return the sources that a certificate says were passed over."""
    return tuple(PassedOver(one.source, one.reason, _nanoseconds(one.staleness)) for one in freshness.fallbacks)


def _nanoseconds(span: timedelta | None) -> int | None:
    return None if span is None else span // timedelta(microseconds=1) * 1000


def write_request(tenant: int, request_id: str, items: Iterable[Item]) -> ipb.WriteAttributesRequest:
    """Return a request that writes these observations."""
    request = ipb.WriteAttributesRequest(tenant_id=tenant, request_id=request_id)
    for item in items:
        name, _, attribute = item.key.partition("/")
        row = request.rows.writes.add(entity_key=name, attribute_key=attribute)
        assert item.event_time is not None
        assert item.value is not None
        row.event_time.FromMicroseconds(item.event_time)
        row.value.int64_value = item.value
    return request


def delete_request(tenant: int, request_id: str, items: Iterable[Item]) -> ipb.DeleteAttributesRequest:
    """Return a request that deletes these observations, or whole attributes."""
    request = ipb.DeleteAttributesRequest(tenant_id=tenant, request_id=request_id)
    for item in items:
        name, _, attribute = item.key.partition("/")
        one = request.deletes.add(entity_key=name, attribute_key=attribute)
        if item.event_time is not None:
            one.event_time.FromMicroseconds(item.event_time)
    return request
