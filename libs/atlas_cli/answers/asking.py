"""Questions through the client, from one source at a time, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from atlas.query.v1 import query_service_pb2 as pb
from atlas_client import AtlasClient, Freshness, Requirement, Source
from atlas_client.answers import Entity, Observed
from atlas_client.values import from_message

Function: TypeAlias = pb.Aggregation
TIMEOUT = timedelta(minutes=5)
MOST_GROUPS = 10_000

COUNT = Function(function=pb.AGGREGATE_FUNCTION_COUNT)
MAX = Function(function=pb.AGGREGATE_FUNCTION_MAX)
MEAN = Function(function=pb.AGGREGATE_FUNCTION_AVERAGE)
SUM = Function(function=pb.AGGREGATE_FUNCTION_SUM)
DEVIATION = Function(function=pb.AGGREGATE_FUNCTION_STANDARD_DEVIATION)
ENTITIES = Function(function=pb.AGGREGATE_FUNCTION_ENTITIES)
ATTRIBUTES = Function(function=pb.AGGREGATE_FUNCTION_ATTRIBUTES)
FIRST = Function(function=pb.AGGREGATE_FUNCTION_FIRST)
LAST = Function(function=pb.AGGREGATE_FUNCTION_LAST)
FIRST_TIME = Function(function=pb.AGGREGATE_FUNCTION_FIRST_TIME)
LAST_TIME = Function(function=pb.AGGREGATE_FUNCTION_LAST_TIME)

TENANT = pb.Grouping(tenant=True)
ENTITY = pb.Grouping(entity=True)
ATTRIBUTE = pb.Grouping(attribute=True)
SOURCE_TYPE = pb.Grouping(source_type=True)
MONTH = pb.Grouping(calendar_month=True)


def percentile(fraction: float) -> Function:
    """Return the function of a percentile by nearest rank."""
    return Function(function=pb.AGGREGATE_FUNCTION_PERCENTILE, fraction=fraction)


def top(limit: int) -> Function:
    """Return the function of the most frequent values."""
    return Function(function=pb.AGGREGATE_FUNCTION_TOP, limit=limit)


def bucket(width: timedelta) -> pb.Grouping:
    """Return the grouping by buckets of event time."""
    grouping = pb.Grouping()
    grouping.time_bucket.FromTimedelta(width)
    return grouping


def by_value(attribute: str) -> pb.Grouping:
    """Return the grouping by the current value of an attribute."""
    return pb.Grouping(attribute_key=attribute)


def greater_than(number: int) -> pb.ValueCondition:
    """Return the condition for observations above a number."""
    condition = pb.ValueCondition(operator=pb.COMPARISON_OPERATOR_GREATER)
    condition.operand.uint64_value = number
    return condition


@dataclass
class Asking:
    """Asks one source. `tenants` are the numbers of tenants by name; the certificates are kept in order.

    `corrected`: observations that were delivered again with another value, counted in the history beforehand.
    """

    client: AtlasClient
    tenants: dict[str, int]
    source: Source
    certificates: list[Freshness] = field(default_factory=list)
    corrected: int = 0

    def of(self, prefix: str) -> dict[str, int]:
        """Return the tenants of one set, by the rest of their names."""
        return {name.removeprefix(prefix): number for name, number in self.tenants.items() if name.startswith(prefix)}

    def acting_for(self, *tenants: int) -> AtlasClient:
        """Return the client as it asks about one tenant, or about several that it was granted."""
        return self.client.for_tenant(tenants[0]) if len(tenants) == 1 else self.client

    async def entity(
        self, tenant: int, key: str, attributes: Sequence[str] = (), *, as_of: datetime | None = None
    ) -> dict[str, Observed]:
        """Return the values of an entity by attribute."""
        answer = await self.acting_for(tenant).get_entity(
            tenant, key, attributes, as_of=as_of, freshness=self._wanted(), timeout=TIMEOUT
        )
        self.certificates.append(answer.freshness)
        return answer.entity.values

    async def entities(
        self,
        tenant: int,
        where: str,
        attributes: Sequence[str] = (),
        *,
        order_by: Sequence[pb.SortKey] = (),
        as_of: datetime | None = None,
    ) -> list[Entity]:
        """Return all entities that fulfil a filter."""
        found: list[Entity] = []
        token = ""
        while True:
            page = await self.acting_for(tenant).list_entities(
                tenant,
                where=where,
                attributes=attributes,
                order_by=order_by,
                as_of=as_of,
                page_size=1000,
                page_token=token,
                freshness=self._wanted(),
                timeout=TIMEOUT,
            )
            self.certificates.append(page.freshness)
            found += page.entities
            token = page.next_page_token
            if not token:
                return found

    async def newest(self, tenant: int, key: str, attribute: str, count: int) -> list[Observed]:
        """Return the newest observations of an attribute."""
        page = await self.acting_for(tenant).history(
            tenant, key, attribute, newest_first=True, page_size=count, freshness=self._wanted(), timeout=TIMEOUT
        )
        self.certificates.append(page.freshness)
        return list(page.observations)

    async def groups(
        self,
        tenants: Sequence[int],
        attribute: str,
        functions: Sequence[Function],
        group_by: Sequence[pb.Grouping] = (),
        **options: Any,
    ) -> list[tuple[list[Any], list[Any]]]:
        """Return keys and results of all groups, as Python values."""
        groups: list[tuple[list[Any], list[Any]]] = []
        token = ""
        while True:
            page = await self.acting_for(*tenants).aggregate(
                tenants,
                attribute,
                functions,
                group_by=group_by,
                page_size=MOST_GROUPS,
                page_token=token,
                freshness=self._wanted(),
                timeout=TIMEOUT,
                **options,
            )
            self.certificates.append(page.freshness)
            groups += [([_key(key) for key in g.keys], [_result(result) for result in g.results]) for g in page.groups]
            token = page.next_page_token
            if not token:
                return groups

    async def attributes(self, tenant: int, prefix: str = "") -> list[pb.AttributeDescription]:
        """Return all attribute keys that begin so."""
        found: list[pb.AttributeDescription] = []
        token = ""
        while True:
            page = await self.acting_for(tenant).describe_attributes(
                tenant, prefix, page_size=1000, page_token=token, freshness=self._wanted(), timeout=TIMEOUT
            )
            self.certificates.append(page.freshness)
            found += page.attributes
            token = page.next_page_token
            if not token:
                return found

    def _wanted(self) -> Requirement:
        return Requirement(max_staleness=timedelta(minutes=10), only_source=self.source)


def _key(message: pb.GroupKey) -> Any:
    match message.WhichOneof("key"):
        case None:
            return None
        case "value":
            return from_message(message.value)
        case "start_time":
            return message.start_time.ToDatetime(tzinfo=UTC)
        case name:
            return getattr(message, name)


def _result(message: pb.AggregateResult) -> Any:
    match message.WhichOneof("result"):
        case None:
            return None
        case "value":
            return from_message(message.value)
        case "exact_sum":
            return int(message.exact_sum)
        case "time":
            return message.time.ToDatetime(tzinfo=UTC)
        case "top":
            return {from_message(one.value): one.count for one in message.top.values}
        case _:
            return message.count
