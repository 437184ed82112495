"""From the contract to questions: every field checked, every default filled in, what is not built said so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeAlias

from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.errors import InvalidRequest
from atlaskit.freshness.requirement import Policy, Requirement, UseCase, for_max_staleness, for_use_case
from atlaskit.model import Source
from atlaskit.position import Token
from atlaskit.selection.searches import EntitySearch

from atlas_query_router import fields
from atlas_query_router.predicates import order_of, predicate_of
from atlas_query_router.questions import EntityQuestion, HistoryQuestion, ListQuestion

USE_CASES: Final = {
    fpb.USE_CASE_REALTIME_ALERT: UseCase.REALTIME_ALERT,
    fpb.USE_CASE_DASHBOARD: UseCase.DASHBOARD,
    fpb.USE_CASE_OPERATIONAL_REPORT: UseCase.OPERATIONAL_REPORT,
    fpb.USE_CASE_ANALYTICS: UseCase.ANALYTICS,
    fpb.USE_CASE_HISTORICAL: UseCase.HISTORICAL,
    fpb.USE_CASE_ML_TRAINING: UseCase.ML_TRAINING,
}
POLICIES: Final = {
    fpb.FRESHNESS_POLICY_UNSPECIFIED: Policy.FAIL_FAST,
    fpb.FRESHNESS_POLICY_WAIT: Policy.WAIT,
    fpb.FRESHNESS_POLICY_FAIL_FAST: Policy.FAIL_FAST,
    fpb.FRESHNESS_POLICY_DEGRADE: Policy.DEGRADE,
}
SOURCES: Final = {
    fpb.DATA_SOURCE_PRIMARY: Source.PRIMARY,
    fpb.DATA_SOURCE_REPLICA: Source.REPLICA,
    fpb.DATA_SOURCE_OLAP: Source.OLAP,
    fpb.DATA_SOURCE_LAKE: Source.LAKE,
}
Paged: TypeAlias = (
    pb.ListEntitiesRequest | pb.GetAttributeHistoryRequest | pb.AggregateAttributeRequest | pb.DescribeAttributesRequest
)
OfEntity: TypeAlias = pb.GetEntityRequest | pb.GetAttributeHistoryRequest


def requirement_of(message: fpb.FreshnessRequirement, default: UseCase) -> Requirement:
    """Return what the answer has to satisfy. Raises InvalidRequest; NotBuilt for a lake that is asked for alone."""
    bound = _bound(message, default)
    if message.policy not in POLICIES:
        raise InvalidRequest("freshness.policy", f"{message.policy} is no policy of this contract", "UNKNOWN_ENUM")
    if message.only_source:
        if message.only_source not in SOURCES:
            raise InvalidRequest("freshness.only_source", "must be PRIMARY, REPLICA, OLAP or LAKE", "UNKNOWN_ENUM")
        bound = replace(bound, sources=(SOURCES[message.only_source],))
    max_wait = None
    if message.HasField("max_wait"):
        max_wait = message.max_wait.ToTimedelta()
        if max_wait < timedelta(0):
            raise InvalidRequest("freshness.max_wait", "must not be negative", "OUT_OF_RANGE")
    token = message.at_least_token
    return replace(
        bound,
        policy=POLICIES[message.policy],
        at_least=Token.parse(token, "freshness.at_least_token") if token else None,
        max_wait=max_wait,
        want_session_token=message.want_session_token,
    )


def _bound(message: fpb.FreshnessRequirement, default: UseCase) -> Requirement:
    match message.WhichOneof("bound"):
        case "max_staleness":
            return for_max_staleness(message.max_staleness.ToTimedelta(), "freshness.max_staleness")
        case "use_case" if message.use_case:
            if message.use_case not in USE_CASES:
                raise InvalidRequest("freshness.use_case", f"{message.use_case} is no use case", "UNKNOWN_ENUM")
            return for_use_case(USE_CASES[message.use_case])
        case "use_case":
            return for_use_case(UseCase.OPERATIONAL_REPORT)
        case _:
            return for_use_case(default)


def entity_question(message: pb.GetEntityRequest) -> EntityQuestion:
    """Return the question of a GetEntity call."""
    token = as_of_token(message)
    return EntityQuestion(
        fields.tenant(message.tenant_id),
        entity_of(message),
        fields.keys(message.attribute_keys, "attribute_keys", 1000),
        fields.instant(message, "as_of_event_time"),
        position=None if token is None else token.lsn,
    )


def entity_requirement(message: pb.GetEntityRequest) -> Requirement:
    """Return what the answer of a GetEntity call has to satisfy. As of a token it must cover that token."""
    requirement = requirement_of(message.freshness, UseCase.OPERATIONAL_REPORT)
    token = as_of_token(message)
    if token is not None and requirement.at_least is not None:
        text = "must be empty beside as_of_token: an answer as of a token covers that token and nothing after it"
        raise InvalidRequest("freshness.at_least_token", text, "TOKENS_EXCLUDE_EACH_OTHER")
    return requirement if token is None else replace(requirement, at_least=token)


def as_of_token(message: pb.GetEntityRequest) -> Token | None:
    """Return the token as of which an entity is read, None for the newest."""
    return Token.parse(message.as_of_token, "as_of_token") if message.as_of_token else None


def list_question(message: pb.ListEntitiesRequest) -> ListQuestion | EntitySearch:
    """Return the question of a ListEntities call, for its first page: a search where it chooses or orders."""
    tenant_id = fields.tenant(message.tenant_id)
    names = fields.keys(message.attribute_keys, "attribute_keys", 100)
    as_of = fields.instant(message, "as_of_event_time")
    size = fields.page_size(message.page_size, 100, 1000)
    order = order_of(message.order_by)
    if not message.HasField("predicate") and not order:
        return ListQuestion(tenant_id, names, as_of, -1, size)
    predicate = predicate_of(message.predicate) if message.HasField("predicate") else None
    return EntitySearch(tenant_id, predicate, order, names, as_of, None, size)


def history_question(message: pb.GetAttributeHistoryRequest) -> HistoryQuestion:
    """Return the question of a GetAttributeHistory call, for its first page."""
    start, end = fields.span(message)
    return HistoryQuestion(
        fields.tenant(message.tenant_id),
        entity_of(message),
        fields.key(message.attribute_key, "attribute_key"),
        start,
        end,
        message.newest_first,
        fields.page_size(message.page_size, 1000, 10_000),
    )


def fixed_part(message: Paged) -> bytes:
    """Return what of a request must stay the same from page to page, as bytes."""
    copy = type(message)()
    copy.CopyFrom(message)  # type: ignore[arg-type]  # the same type by construction
    for field in ("page_token", "page_size", "freshness"):
        copy.ClearField(field)
    return type(message).__name__.encode() + copy.SerializeToString(deterministic=True)


def entity_of(message: OfEntity) -> int | str:
    """Return the entity that a request names, by number or by key."""
    match message.WhichOneof("entity"):
        case "entity_key":
            return fields.key(message.entity_key, "entity_key")
        case "entity_id" if message.entity_id >= 0:
            return message.entity_id
        case "entity_id":
            raise InvalidRequest("entity_id", "must be 0 to 9223372036854775807", "OUT_OF_RANGE")
        case _:
            raise InvalidRequest("entity", "must be given, by entity_key or entity_id", "REQUIRED")
