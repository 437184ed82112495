"""Questions of AggregateAttribute and DescribeAttributes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.errors import InvalidRequest
from atlaskit.selection.searches import Function, FunctionKind, Grouping, GroupKind, GroupSearch

from atlas_query_router import fields
from atlas_query_router.predicates import conditions_of, predicate_of
from atlas_query_router.questions import FiguresQuestion

SMALLEST_BUCKET: Final = timedelta(minutes=1)
LARGEST_BUCKET: Final = timedelta(days=366)
MOST_TENANTS: Final = 100
FIRST_GROUP: Final = (-2, 0)  # below every group
_FUNCTIONS: Final = {getattr(pb, f"AGGREGATE_FUNCTION_{kind.name}"): kind for kind in FunctionKind}
# What one fixed statement computes.
_PLAIN: Final = frozenset(
    {FunctionKind.COUNT, FunctionKind.MIN, FunctionKind.MAX, FunctionKind.AVERAGE, FunctionKind.SUM}
)
_PLAIN_GROUPS: Final[tuple[list[GroupKind], ...]] = (
    [],
    [GroupKind.ENTITY],
    [GroupKind.TIME_BUCKET],
    [GroupKind.ENTITY, GroupKind.TIME_BUCKET],
)
TYPES_OF_A_KEY: Final = 6


def aggregate_question(message: pb.AggregateAttributeRequest) -> GroupSearch:
    """Return the question of an AggregateAttribute call, for its first page. Raises InvalidRequest."""
    start, end = fields.span(message)
    attribute, is_prefix = _attribute(message)
    return GroupSearch(
        tenant_ids=_tenants(message.tenant_ids),
        attribute=attribute,
        is_prefix=is_prefix,
        predicate=predicate_of(message.predicate) if message.HasField("predicate") else None,
        functions=_functions(message.aggregations),
        group_by=_grouping(message.group_by),
        conditions=conditions_of(message.value_conditions),
        start=start,
        end=end,
        latest=_is_latest(message.scope),
        after=None,
        most=fields.page_size(message.page_size, 1000, 10_000),
    )


def plain_figures(search: GroupSearch) -> FiguresQuestion | None:
    """Return the question for the figures of one attribute, which a statement of fixed text answers, or None."""
    kinds = [part.kind for part in search.group_by]
    plain = (
        len(search.tenant_ids) == 1
        and not search.is_prefix
        and not search.latest
        and not search.conditions
        and search.predicate is None
        and {function.kind for function in search.functions} <= _PLAIN
        and kinds in _PLAIN_GROUPS
    )
    if not plain:
        return None
    bucket = search.group_by[-1].width if GroupKind.TIME_BUCKET in kinds else None
    return FiguresQuestion(
        search.tenant_ids[0],
        search.attribute,
        search.start,
        search.end,
        GroupKind.ENTITY in kinds,
        bucket,
        FIRST_GROUP,
        search.most,
    )


def describe_question(message: pb.DescribeAttributesRequest) -> GroupSearch:
    """Return the question of a DescribeAttributes call: by key and type of value. `most` counts keys.

    Raises InvalidRequest."""
    return GroupSearch(
        tenant_ids=(fields.tenant(message.tenant_id),),
        attribute=fields.prefix(message.prefix, "prefix"),
        is_prefix=True,
        predicate=None,
        functions=tuple(map(Function, (FunctionKind.COUNT, FunctionKind.FIRST_TIME, FunctionKind.LAST_TIME))),
        group_by=(Grouping(GroupKind.ATTRIBUTE), Grouping(GroupKind.VALUE_TYPE)),
        conditions=(),
        start=None,
        end=None,
        latest=False,
        after=None,
        most=fields.page_size(message.page_size, 100, 1000),
    )


def _tenants(tenant_ids: Sequence[int]) -> tuple[int, ...]:
    if not tenant_ids:
        raise InvalidRequest("tenant_ids", "must name a tenant", "REQUIRED")
    if len(tenant_ids) > MOST_TENANTS:
        raise InvalidRequest("tenant_ids", f"must be at most {MOST_TENANTS}", "TOO_MANY")
    return tuple(dict.fromkeys(fields.tenant(one, f"tenant_ids[{place}]") for place, one in enumerate(tenant_ids)))


def _attribute(message: pb.AggregateAttributeRequest) -> tuple[str, bool]:
    if not message.HasField("attribute_prefix"):
        return fields.key(message.attribute_key, "attribute_key"), False
    if message.attribute_key:
        raise InvalidRequest("attribute_prefix", "must not be set beside attribute_key", "OUT_OF_RANGE")
    return fields.prefix(message.attribute_prefix, "attribute_prefix"), True


def _is_latest(scope: int) -> bool:
    if scope not in pb.ObservationScope.values():
        raise InvalidRequest("scope", "must be ALL or LATEST", "UNKNOWN_ENUM")
    return scope == pb.OBSERVATION_SCOPE_LATEST


def _functions(aggregations: Sequence[pb.Aggregation]) -> tuple[Function, ...]:
    if not 1 <= len(aggregations) <= 10:
        raise InvalidRequest("aggregations", "must be 1 to 10", "REQUIRED")
    return tuple(_function(asked, f"aggregations[{place}]") for place, asked in enumerate(aggregations))


def _function(asked: pb.Aggregation, field: str) -> Function:
    kind = _FUNCTIONS.get(asked.function)
    if kind is None:
        raise InvalidRequest(f"{field}.function", "must be a function", "UNKNOWN_ENUM")
    if asked.HasField("fraction") is not (kind is FunctionKind.PERCENTILE):
        must = "must be given for" if kind is FunctionKind.PERCENTILE else "must not be set for"
        raise InvalidRequest(f"{field}.fraction", f"{must} {kind.name}", "REQUIRED")
    if kind is FunctionKind.PERCENTILE and not (math.isfinite(asked.fraction) and 0 < asked.fraction <= 1):
        raise InvalidRequest(f"{field}.fraction", "must be more than 0 and at most 1", "OUT_OF_RANGE")
    if kind is FunctionKind.TOP and not 1 <= asked.limit <= 100:
        raise InvalidRequest(f"{field}.limit", "must be 1 to 100", "OUT_OF_RANGE")
    if kind is not FunctionKind.TOP and asked.limit:
        raise InvalidRequest(f"{field}.limit", f"must not be set for {kind.name}", "OUT_OF_RANGE")
    return Function(kind, asked.fraction if kind is FunctionKind.PERCENTILE else 1.0, asked.limit)


def _grouping(groupings: Sequence[pb.Grouping]) -> tuple[Grouping, ...]:
    if len(groupings) > 4:
        raise InvalidRequest("group_by", "must be at most 4", "TOO_MANY")
    return tuple(_part(part, f"group_by[{place}]") for place, part in enumerate(groupings))


def _part(part: pb.Grouping, field: str) -> Grouping:
    match part.WhichOneof("key"):
        case None:
            raise InvalidRequest(field, "must have a key", "REQUIRED")
        case "attribute_key":
            return Grouping(GroupKind.ATTRIBUTE_VALUE, fields.key(part.attribute_key, f"{field}.attribute_key"))
        case "time_bucket":
            width = part.time_bucket.ToTimedelta()
            if not SMALLEST_BUCKET <= width <= LARGEST_BUCKET:
                raise InvalidRequest(f"{field}.time_bucket", "must be 1 minute to 366 days", "OUT_OF_RANGE")
            return Grouping(GroupKind.TIME_BUCKET, width=width)
        case name if getattr(part, name):
            return Grouping(GroupKind(name))
        case name:
            raise InvalidRequest(f"{field}.{name}", "must be true where it is given", "OUT_OF_RANGE")
