"""From the contract to questions: every field checked, every default filled in, what is not built said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.errors import InvalidRequest, NotBuilt
from atlaskit.freshness.requirement import Policy, Requirement, UseCase, for_max_staleness, for_use_case
from atlaskit.model import Source
from atlaskit.position import Token
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from atlas_query_router.questions import EntityQuestion, FiguresQuestion, HistoryQuestion, ListQuestion

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
FIGURES: Final = frozenset({
    pb.AGGREGATE_FUNCTION_COUNT,
    pb.AGGREGATE_FUNCTION_MIN,
    pb.AGGREGATE_FUNCTION_MAX,
    pb.AGGREGATE_FUNCTION_AVERAGE,
    pb.AGGREGATE_FUNCTION_SUM,
})  # fmt: skip
MAX_KEY_BYTES: Final = 512
SMALLEST_BUCKET: Final = timedelta(minutes=1)
LARGEST_BUCKET: Final = timedelta(days=366)
FIRST_GROUP: Final = (-2, 0)  # below every group

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
    if message.as_of_token:
        raise NotBuilt("as_of_token: reading as of a position is not built yet; leave it empty")
    names = _keys(message.attribute_keys, "attribute_keys", 1000)
    return EntityQuestion(_tenant(message.tenant_id), entity_of(message), names, _instant(message, "as_of_event_time"))


def list_question(message: pb.ListEntitiesRequest) -> ListQuestion:
    """Return the question of a ListEntities call, for its first page."""
    if message.HasField("predicate"):
        raise NotBuilt("predicate: filtering entities is not built yet; leave it unset to list all")
    if message.order_by:
        raise NotBuilt("order_by: an order other than by entity id is not built yet; leave it empty")
    names = _keys(message.attribute_keys, "attribute_keys", 100)
    as_of = _instant(message, "as_of_event_time")
    return ListQuestion(_tenant(message.tenant_id), names, as_of, -1, _page_size(message.page_size, 100, 1000))


def history_question(message: pb.GetAttributeHistoryRequest) -> HistoryQuestion:
    """Return the question of a GetAttributeHistory call, for its first page."""
    start, end = _range(message)
    return HistoryQuestion(
        _tenant(message.tenant_id),
        entity_of(message),
        _key(message.attribute_key, "attribute_key"),
        start,
        end,
        message.newest_first,
        _page_size(message.page_size, 1000, 10_000),
    )


def figures_question(message: pb.AggregateAttributeRequest) -> FiguresQuestion:
    """Return the question of an AggregateAttribute call, for its first page."""
    if not message.tenant_ids:
        raise InvalidRequest("tenant_ids", "must name a tenant", "REQUIRED")
    if len(message.tenant_ids) > 1:
        raise NotBuilt("tenant_ids: aggregates over several tenants are not built yet; ask for one at a time")
    if message.HasField("predicate"):
        raise NotBuilt("predicate: aggregates over a part of the entities are not built yet; leave it unset")
    if message.scope == pb.OBSERVATION_SCOPE_LATEST:
        raise NotBuilt("scope: LATEST is not built yet; ALL is")
    _check_aggregations(message.aggregations)
    by_entity, bucket = _grouping(message.group_by)
    start, end = _range(message)
    return FiguresQuestion(
        _tenant(message.tenant_ids[0], "tenant_ids[0]"),
        _key(message.attribute_key, "attribute_key"),
        start,
        end,
        by_entity,
        bucket,
        FIRST_GROUP,
        _page_size(message.page_size, 1000, 10_000),
    )


def fixed_part(message: pb.ListEntitiesRequest | pb.GetAttributeHistoryRequest | pb.AggregateAttributeRequest) -> bytes:
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
            return _key(message.entity_key, "entity_key")
        case "entity_id" if message.entity_id >= 0:
            return message.entity_id
        case "entity_id":
            raise InvalidRequest("entity_id", "must be 0 to 9223372036854775807", "OUT_OF_RANGE")
        case _:
            raise InvalidRequest("entity", "must be given, by entity_key or entity_id", "REQUIRED")


def _tenant(tenant_id: int, field: str = "tenant_id") -> int:
    if tenant_id < 1:
        raise InvalidRequest(field, "must be 1 to 2147483647", "REQUIRED" if tenant_id == 0 else "OUT_OF_RANGE")
    return tenant_id


def _key(text: str, field: str) -> str:
    if not text:
        raise InvalidRequest(field, "must not be empty", "REQUIRED")
    if len(text.encode()) > MAX_KEY_BYTES:
        raise InvalidRequest(field, f"must be at most {MAX_KEY_BYTES} bytes", "TOO_LONG")
    if "\0" in text:
        raise InvalidRequest(field, "must not hold NUL", "NUL_CHARACTER")
    return text


def _keys(texts: Sequence[str], field: str, most: int) -> tuple[str, ...]:
    if len(texts) > most:
        raise InvalidRequest(field, f"must be at most {most}", "TOO_MANY")
    return tuple(dict.fromkeys(_key(text, f"{field}[{number}]") for number, text in enumerate(texts)))


def _page_size(asked: int, default: int, most: int) -> int:
    if asked < 0:
        raise InvalidRequest("page_size", "must not be negative", "OUT_OF_RANGE")
    return min(asked or default, most)


def _instant(message: Message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    if stamp.nanos % 1000:
        raise InvalidRequest(field, "must not be finer than a microsecond", "TOO_FINE")
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise InvalidRequest(field, "is no instant of the years 1 to 9999", "OUT_OF_RANGE") from None


def _range(message: Message) -> tuple[datetime | None, datetime | None]:
    start, end = _instant(message, "start_time"), _instant(message, "end_time")
    if start is not None and end is not None and start >= end:
        raise InvalidRequest("end_time", "must be after start_time", "OUT_OF_RANGE")
    return start, end


def _check_aggregations(aggregations: Sequence[pb.Aggregation]) -> None:
    if not 1 <= len(aggregations) <= 10:
        raise InvalidRequest("aggregations", "must be 1 to 10", "REQUIRED")
    for number, asked in enumerate(aggregations):
        if asked.function not in pb.AggregateFunction.values() or not asked.function:
            raise InvalidRequest(f"aggregations[{number}].function", "must be a function", "UNKNOWN_ENUM")
        if asked.function not in FIGURES:
            name = pb.AggregateFunction.Name(asked.function)
            raise NotBuilt(f"aggregations[{number}]: {name} is not built yet; COUNT, MIN, MAX, AVERAGE and SUM are")


def _grouping(groupings: Sequence[pb.Grouping]) -> tuple[bool, timedelta | None]:
    kinds = [grouping.WhichOneof("key") for grouping in groupings]
    if None in kinds:
        raise InvalidRequest(f"group_by[{kinds.index(None)}]", "must have a key", "REQUIRED")
    if kinds not in ([], ["entity"], ["time_bucket"], ["entity", "time_bucket"]):
        raise NotBuilt("group_by: only entity, time_bucket, or entity and then time_bucket are built yet")
    if "time_bucket" not in kinds:
        return "entity" in kinds, None
    width = groupings[-1].time_bucket.ToTimedelta()
    if not SMALLEST_BUCKET <= width <= LARGEST_BUCKET:
        raise InvalidRequest(f"group_by[{len(kinds) - 1}].time_bucket", "must be 1 minute to 366 days", "OUT_OF_RANGE")
    return "entity" in kinds, width
