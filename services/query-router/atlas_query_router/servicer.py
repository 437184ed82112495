"""The query service: requests in, answers with certificates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1.query_service_pb2_grpc import QueryServiceServicer
from atlaskit.clock import BootInstant, Clock
from atlaskit.errors import AtlasError, DeadlinePassed, InvalidRequest, NotFound, NotFreshEnough, Overloaded
from atlaskit.figures import Figures
from atlaskit.freshness.requirement import LONGEST, Policy, Requirement, UseCase, for_use_case
from atlaskit.model import EntityIdentity, EntityState, Observation, Source, Tenant
from atlaskit.position import Token
from atlaskit.rpc.certificate import certified, message_of
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.freshness_metadata import send_freshness
from atlaskit.rpc.identity import current_identity
from atlaskit.selection.searches import Found, Group
from grpc import aio

from atlas_query_router.answers import (
    attribute_messages,
    attribute_reads,
    entity_message,
    group_message,
    group_of_nothing,
    observation_messages,
    plain_group,
)
from atlas_query_router.backends import Call
from atlas_query_router.grants import Grants
from atlas_query_router.grouping import TYPES_OF_A_KEY, aggregate_question, describe_question, plain_figures
from atlas_query_router.metrics import AnswerMetrics
from atlas_query_router.paging import Paging
from atlas_query_router.questions import PositionQuestion, Question, tenants_of
from atlas_query_router.requests import (
    SOURCES,
    entity_question,
    entity_requirement,
    fixed_part,
    history_question,
    list_question,
    requirement_of,
)
from atlas_query_router.router import Answer, Refusal, Router
from atlas_query_router.tenants import TenantDirectory

Context: TypeAlias = aio.ServicerContext[Any, Any]

# Of the caller's deadline, kept for the way back.
WAY_BACK = timedelta(milliseconds=5)


class AnswerTooLarge(Overloaded):
    """The answer would hold more than the contract allows in one; ask for less. To come again later does not help."""

    reason = "ANSWER_TOO_LARGE"

    def __init__(self, text: str) -> None:
        AtlasError.__init__(self, text)


class QueryServicer(QueryServiceServicer):
    """Answers the query service. Every call needs a deadline, which goes down to the statements of the stores."""

    def __init__(
        self,
        router: Router,
        tenants: TenantDirectory,
        paging: Paging,
        clock: Clock,
        grants: Grants,
        *,
        metrics: AnswerMetrics | None = None,
    ) -> None:
        self._router = router
        self._metrics = metrics or AnswerMetrics()
        self._grants = grants
        self._tenants = tenants
        self._paging = paging
        self._clock = clock

    async def GetEntity(self, request: pb.GetEntityRequest, context: Context) -> pb.GetEntityResponse:  # noqa: N802
        received = self._clock.boot()
        question, requirement = entity_question(request), entity_requirement(request)
        answer = await self._answer(question, requirement, received, context)
        state = answer.rows
        if state is None or is_another(state, question.entity):
            name = f"entity {question.entity!r} of tenant {question.tenant_id}"
            raise certified(NotFound(f"{name} does not exist in the copy that answered"), answer.certificate)
        assert isinstance(state, EntityState)
        if len(state.values) > question.most:
            text = f"the entity has more than {question.most} attributes; name those you need in attribute_keys"
            raise certified(AnswerTooLarge(text), answer.certificate)
        freshness = await self._certify(answer, context)
        return pb.GetEntityResponse(entity=entity_message(state, self._clock.wall()), freshness=freshness)

    async def ListEntities(self, request: pb.ListEntitiesRequest, context: Context) -> pb.ListEntitiesResponse:  # noqa: N802
        received = self._clock.boot()
        requirement = requirement_of(request.freshness, UseCase.OPERATIONAL_REPORT)
        first, fixed = list_question(request), fixed_part(request)
        question, requirement = self._paging.resumed(first, requirement, request.page_token, fixed)
        answer = await self._answer(self._paging.one_more(question), requirement, received, context)
        rows: list[EntityState | Found] = self._rows(answer)
        page, token = self._paging.cut(rows, question, answer.certificate, fixed, self._paging.entity)
        wall = self._clock.wall()
        freshness = await self._certify(answer, context)
        messages = [entity_message(row.state if isinstance(row, Found) else row, wall) for row in page]
        reads = attribute_reads(first, answer.slotted) if request.explain else []
        return pb.ListEntitiesResponse(
            entities=messages, next_page_token=token, attribute_reads=reads, freshness=freshness
        )

    async def GetAttributeHistory(  # noqa: N802
        self, request: pb.GetAttributeHistoryRequest, context: Context
    ) -> pb.GetAttributeHistoryResponse:
        received = self._clock.boot()
        requirement = requirement_of(request.freshness, UseCase.OPERATIONAL_REPORT)
        first, fixed = history_question(request), fixed_part(request)
        question, requirement = self._paging.resumed(first, requirement, request.page_token, fixed)
        answer = await self._answer(self._paging.one_more(question), requirement, received, context)
        seen: list[Observation] = self._rows(answer)
        page, token = self._paging.cut(seen, question, answer.certificate, fixed, self._paging.event_time)
        freshness = await self._certify(answer, context)
        messages = observation_messages(page)
        return pb.GetAttributeHistoryResponse(observations=messages, next_page_token=token, freshness=freshness)

    async def AggregateAttribute(  # noqa: N802
        self, request: pb.AggregateAttributeRequest, context: Context
    ) -> pb.AggregateAttributeResponse:
        received = self._clock.boot()
        requirement = requirement_of(request.freshness, UseCase.ANALYTICS)
        search, fixed = aggregate_question(request), fixed_part(request)
        await self._check_grants(search.tenant_ids, context)
        first = plain_figures(search) or search
        question, requirement = self._paging.resumed(first, requirement, request.page_token, fixed)
        answer = await self._answer(self._paging.one_more(question), requirement, received, context)
        rows: list[Group | Figures] = self._rows(answer)
        if not rows and not search.group_by:
            rows = [group_of_nothing(search)]
        page, token = self._paging.cut(rows, question, answer.certificate, fixed, self._paging.group)
        freshness = await self._certify(answer, context)
        groups = [plain_group(row, search) if isinstance(row, Figures) else row for row in page]
        messages = [group_message(group, search) for group in groups]
        return pb.AggregateAttributeResponse(groups=messages, next_page_token=token, freshness=freshness)

    async def DescribeAttributes(  # noqa: N802
        self, request: pb.DescribeAttributesRequest, context: Context
    ) -> pb.DescribeAttributesResponse:
        received = self._clock.boot()
        requirement = requirement_of(request.freshness, UseCase.ANALYTICS)
        question, fixed = describe_question(request), fixed_part(request)
        question, requirement = self._paging.resumed_by_key(question, requirement, request.page_token, fixed)
        # Each key has up to six rows, one for each type of value.
        wanted = replace(question, most=(question.most + 1) * TYPES_OF_A_KEY)
        answer = await self._answer(wanted, requirement, received, context)
        described = attribute_messages(self._rows(answer))
        page, token = self._paging.cut(described, question, answer.certificate, fixed, lambda a: (a.attribute_key,))
        freshness = await self._certify(answer, context)
        return pb.DescribeAttributesResponse(attributes=page, next_page_token=token, freshness=freshness)

    async def WaitForPosition(self, request: pb.WaitForPositionRequest, context: Context) -> pb.WaitForPositionResponse:  # noqa: N802
        received = self._clock.boot()
        source = SOURCES.get(request.source)
        if source is None or source is Source.LAKE:
            raise InvalidRequest("source", "must be PRIMARY, REPLICA or OLAP", "UNKNOWN_ENUM")
        requirement = replace(
            for_use_case(UseCase.ML_TRAINING),
            max_staleness=LONGEST,
            sources=(source,),
            policy=Policy.WAIT,
            at_least=Token.parse(request.token, "token"),
        )
        if request.tenant_id < 1:
            raise InvalidRequest("tenant_id", "must be 1 to 2147483647", "REQUIRED")
        answer = await self._answer(PositionQuestion(request.tenant_id), requirement, received, context, late=True)
        return pb.WaitForPositionResponse(freshness=await self._certify(answer, context))

    async def _check_grants(self, tenant_ids: Sequence[int], context: Context) -> None:
        """Return if the caller may read these tenants in one answer. Raises NotGranted, naming one it may not."""
        if len(tenant_ids) > 1:
            await self._grants.check(current_identity().caller, tenant_ids, Deadline.of(context).less(WAY_BACK))

    async def _answer(
        self,
        question: Question,
        requirement: Requirement,
        received: BootInstant,
        context: Context,
        *,
        late: bool = False,
    ) -> Answer:
        """Return the answer. With `late`, one that is not fresh enough means that its deadline passed."""
        deadline = Deadline.of(context).less(WAY_BACK)
        tenant, *others = [await self._tenants.get(number, deadline) for number in tenants_of(question)]
        _check_identity(tenant, question)
        call = Call(tenant, received, deadline, requirement.want_session_token, tuple(others))
        try:
            answer = await self._router.answer(question, requirement, call)
        except Refusal as refused:
            self._metrics.passed_over(refused.certificate.fallbacks)
            error = refused.error
            if late and type(error) is NotFreshEnough:
                error = DeadlinePassed(f"the copy does not cover the position in time: {error}")
            raise certified(error, refused.certificate) from None
        self._metrics.answered(answer.certificate)
        return answer

    async def _certify(self, answer: Answer, context: Context) -> fpb.Freshness:
        freshness = message_of(answer.certificate)
        await send_freshness(context, freshness)
        return freshness

    @staticmethod
    def _rows(answer: Answer) -> list[Any]:
        assert isinstance(answer.rows, list)
        return answer.rows


def is_another(state: Any, asked: str | int) -> bool:
    """Tell whether the number of a key is that of another key: two keys of one hash, of which only one was stored."""
    return isinstance(asked, str) and bool(state.entity_key) and state.entity_key != asked


def _check_identity(tenant: Tenant, question: Question) -> None:
    by_key = isinstance(getattr(question, "entity", None), str)
    if by_key and tenant.identity is EntityIdentity.NUMBERED:
        raise InvalidRequest("entity_key", "this tenant numbers its entities; use entity_id", "IDENTITY_KIND_WRONG")
