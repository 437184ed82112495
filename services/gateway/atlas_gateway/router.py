"""The query router, as the gateway asks it."""

from __future__ import annotations

from datetime import timedelta

from atlas.freshness.v1 import freshness_pb2 as fresh
from atlas.query.v1.query_service_pb2 import GetEntityRequest, GetEntityResponse
from atlas.query.v1.query_service_pb2_grpc import QueryServiceStub
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.errors import RemoteError, errors_from
from atlaskit.rpc.identity import Identity
from grpc import StatusCode, aio

from atlas_gateway.question import Freshness, Question


class QueryRouter:
    """Asks the query router for entities over one channel."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = QueryServiceStub(channel)

    async def first_of(self, questions: list[Question], timeout: timedelta, whose: Identity) -> GetEntityResponse:
        """Return the answer to the first of these questions that finds an entity; together they take at most `timeout`.

        The router is told that `whose` asks. Raises RemoteError with the first refusal when none does.
        """
        deadline = Deadline.after(timeout)
        refusals: list[RemoteError] = []
        for question in questions:
            try:
                return await self._get(question, deadline.require("the entity was read"), whose)
            except RemoteError as refusal:
                refusals.append(refusal)
                if refusal.code is not StatusCode.NOT_FOUND or refusal.remote_reason == "TENANT_UNKNOWN":
                    break
        raise refusals[0]

    async def _get(self, question: Question, timeout: timedelta, whose: Identity) -> GetEntityResponse:
        try:
            answer: GetEntityResponse = await self._stub.GetEntity(
                request_of(question), timeout=timeout.total_seconds(), metadata=whose.metadata()
            )
        except aio.AioRpcError as error:
            raise errors_from(error) from error
        return answer


def request_of(question: Question) -> GetEntityRequest:
    """Return the question as the contract puts it."""
    request = GetEntityRequest(
        tenant_id=question.tenant_id,
        attribute_keys=question.attributes,
        freshness=_requirement(question.freshness),
    )
    if isinstance(question.entity, int):
        request.entity_id = question.entity
    else:
        request.entity_key = question.entity
    return request


def _requirement(wanted: Freshness) -> fresh.FreshnessRequirement:
    requirement = fresh.FreshnessRequirement(
        at_least_token=wanted.at_least, want_session_token=wanted.want_session_token
    )
    if wanted.use_case is not None:
        requirement.use_case = fresh.UseCase.Value(f"USE_CASE_{wanted.use_case.name}")
    if wanted.max_staleness is not None:
        requirement.max_staleness.FromTimedelta(wanted.max_staleness)
    if wanted.policy is not None:
        requirement.policy = fresh.FreshnessPolicy.Value(f"FRESHNESS_POLICY_{wanted.policy.name}")
    if wanted.max_wait is not None:
        requirement.max_wait.FromTimedelta(wanted.max_wait)
    return requirement
