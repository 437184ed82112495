"""Reading: each answer with its certificate of freshness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from atlas.freshness.v1 import freshness_pb2
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as grpc_pb
from grpc import aio

from atlas_client.answers import (
    AggregatePage,
    AttributePage,
    EntityAnswer,
    EntityPage,
    HistoryPage,
    entity_answer_of,
    entity_of,
    observed_of,
)
from atlas_client.budget import RetryBudget
from atlas_client.calls import Deadline, call
from atlas_client.columns import Entity
from atlas_client.freshness import Freshness, Requirement, Source, freshness_of
from atlas_client.identity import Identified, Metadata
from atlas_client.session import Session
from atlas_client.values import timestamp
from atlas_client.where import predicate_where

TIMEOUT = timedelta(seconds=10)
Request = TypeVar("Request", bound=pb.GetEntityRequest | pb.GetAttributeHistoryRequest)


class Reads:
    """The calls of QueryService.

    With a `session` an answer never shows less than an earlier call of it did. `timeout` is for all attempts together.
    All raise CallFailed, which has a certificate where freshness was the cause.
    """

    def __init__(self, channel: aio.Channel, identity: Metadata = ()) -> None:
        self._read_budget = RetryBudget()
        self._query = Identified(grpc_pb.QueryServiceStub(channel), identity)

    async def get_entity(
        self,
        tenant_id: int,
        entity: Entity,
        attributes: Iterable[str] = (),
        *,
        as_of: datetime | None = None,
        as_of_token: str = "",
        freshness: Requirement | None = None,
        session: Session | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> EntityAnswer:
        """Return an entity with the attributes named, or with all; values as of an event time, or the latest.

        `as_of_token`: by what was delivered up to this token alone. That of a session or of the requirement must be
        left out then.
        """
        request = pb.GetEntityRequest(
            tenant_id=tenant_id,
            attribute_keys=attributes,
            as_of_event_time=timestamp(as_of),
            as_of_token=as_of_token,
            freshness=_wanted(freshness, session),
        )
        answer = await self._read(self._query.GetEntity, _of(request, entity), session, timeout)
        return entity_answer_of(answer)

    async def list_entities(
        self,
        tenant_id: int,
        *,
        where: str = "",
        predicate: pb.Predicate | None = None,
        attributes: Iterable[str] = (),
        order_by: Sequence[pb.SortKey] = (),
        as_of: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
        freshness: Requirement | None = None,
        session: Session | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> EntityPage:
        """Return one page of the entities that fulfil `where`, an expression as `atlas_client.filters` tells.

        `predicate` is the same as a message, instead. Raises FilterError for what is no filter; nothing is sent then.
        """
        request = pb.ListEntitiesRequest(
            tenant_id=tenant_id,
            predicate=_chosen(where, predicate),
            attribute_keys=attributes,
            order_by=order_by,
            as_of_event_time=timestamp(as_of),
            page_size=page_size,
            page_token=page_token,
            freshness=_wanted(freshness, session),
        )
        answer = await self._read(self._query.ListEntities, request, session, timeout)
        return EntityPage(
            tuple(map(entity_of, answer.entities)), answer.next_page_token, freshness_of(answer.freshness)
        )

    async def history(
        self,
        tenant_id: int,
        entity: Entity,
        attribute: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        newest_first: bool = False,
        page_size: int = 0,
        page_token: str = "",
        freshness: Requirement | None = None,
        session: Session | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> HistoryPage:
        """Return one page of the observations of an attribute from `start` to before `end`, by event time."""
        request = pb.GetAttributeHistoryRequest(
            tenant_id=tenant_id,
            attribute_key=attribute,
            start_time=timestamp(start),
            end_time=timestamp(end),
            newest_first=newest_first,
            page_size=page_size,
            page_token=page_token,
            freshness=_wanted(freshness, session),
        )
        answer = await self._read(self._query.GetAttributeHistory, _of(request, entity), session, timeout)
        observations = tuple(observed_of(attribute, one) for one in answer.observations)
        return HistoryPage(observations, answer.next_page_token, freshness_of(answer.freshness))

    async def aggregate(
        self,
        tenant_ids: Sequence[int],
        attribute: str,
        aggregations: Sequence[pb.Aggregation],
        *,
        where: str = "",
        predicate: pb.Predicate | None = None,
        group_by: Sequence[pb.Grouping] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        latest_only: bool = False,
        by_prefix: bool = False,
        conditions: Sequence[pb.ValueCondition] = (),
        page_size: int = 0,
        page_token: str = "",
        freshness: Requirement | None = None,
        session: Session | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> AggregatePage:
        """Return one page of groups; `latest_only` counts the latest observation of each entity and no other.

        `where` or `predicate` chooses entities as in `list_entities`, `conditions` observations by their value. With
        `by_prefix` every attribute whose key begins with `attribute` is aggregated, with "" all.
        """
        request = pb.AggregateAttributeRequest(
            tenant_ids=tenant_ids,
            attribute_key="" if by_prefix else attribute,
            attribute_prefix=attribute if by_prefix else None,
            value_conditions=conditions,
            predicate=_chosen(where, predicate),
            aggregations=aggregations,
            group_by=group_by,
            start_time=timestamp(start),
            end_time=timestamp(end),
            scope=pb.OBSERVATION_SCOPE_LATEST if latest_only else pb.OBSERVATION_SCOPE_ALL,
            page_size=page_size,
            page_token=page_token,
            freshness=_wanted(freshness, session),
        )
        answer = await self._read(self._query.AggregateAttribute, request, session, timeout)
        return AggregatePage(tuple(answer.groups), answer.next_page_token, freshness_of(answer.freshness))

    async def describe_attributes(
        self,
        tenant_id: int,
        prefix: str = "",
        *,
        page_size: int = 0,
        page_token: str = "",
        freshness: Requirement | None = None,
        session: Session | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> AttributePage:
        """Return one page of the attribute keys that begin with `prefix`, with types, counts and times."""
        request = pb.DescribeAttributesRequest(
            tenant_id=tenant_id,
            prefix=prefix,
            page_size=page_size,
            page_token=page_token,
            freshness=_wanted(freshness, session),
        )
        answer = await self._read(self._query.DescribeAttributes, request, session, timeout)
        return AttributePage(tuple(answer.attributes), answer.next_page_token, freshness_of(answer.freshness))

    async def wait_for_position(
        self, tenant_id: int, token: str, source: Source, *, timeout: timedelta = TIMEOUT
    ) -> Freshness:
        """Return the certificate once a copy covers the token; for jobs that read a copy themselves."""
        wanted = freshness_pb2.DataSource.Value(f"DATA_SOURCE_{source.name}")
        request = pb.WaitForPositionRequest(tenant_id=tenant_id, token=token, source=wanted)
        return freshness_of(
            (await call(self._query.WaitForPosition, request, Deadline(timeout), self._read_budget)).freshness
        )

    async def _read(self, method: Callable[..., Any], request: Any, session: Session | None, timeout: timedelta) -> Any:
        deadline = Deadline(timeout)
        if session is None:
            return await call(method, request, deadline, self._read_budget)
        for token in session.earlier:
            await self._confirm(_tenant_of(request), token, deadline)
            session.confirmed(token)
        answer = await call(method, request, deadline, self._read_budget)
        session.saw(answer.freshness.session_token, covering=request.freshness.at_least_token)
        return answer

    async def _confirm(self, tenant_id: int, token: str, deadline: Deadline) -> None:
        """Return if what the token stands for survived. Raises CallFailed, with reason TOKEN_LOST if it did not."""
        request = pb.WaitForPositionRequest(tenant_id=tenant_id, token=token, source=freshness_pb2.DATA_SOURCE_PRIMARY)
        await call(self._query.WaitForPosition, request, deadline, self._read_budget)


def _wanted(freshness: Requirement | None, session: Session | None) -> freshness_pb2.FreshnessRequirement | None:
    if session is not None:
        return (freshness or Requirement()).at_least(session.token).message()
    return freshness.message() if freshness is not None else None


def _chosen(where: str, predicate: pb.Predicate | None) -> pb.Predicate | None:
    if not where:
        return predicate
    if predicate is not None:
        raise ValueError("where and predicate exclude each other; give one")
    return predicate_where(where)


def _tenant_of(request: Any) -> int:
    tenant: int = request.tenant_ids[0] if isinstance(request, pb.AggregateAttributeRequest) else request.tenant_id
    return tenant


def _of(request: Request, entity: Entity) -> Request:
    if isinstance(entity, str):
        request.entity_key = entity
    else:
        request.entity_id = entity
    return request
