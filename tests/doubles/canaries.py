"""Requests of every kind for tenants whose every value is a canary, and texts that have broken statements of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.rpc.errors import errors_from
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode, aio

ENTITY = 5  # the same number in every tenant


def condition(key: str, text: str) -> pb.Predicate:
    operand = AttributeValue(string_value=text)
    return pb.Predicate(
        comparison=pb.Comparison(attribute_key=key, operator=pb.COMPARISON_OPERATOR_STARTS_WITH, operand=operand)
    )


def requests(tenant: int, tenants: Sequence[int], source: int) -> dict[str, Any]:
    """One request of every kind, asking for what the other tenants have, too."""
    keys = ["k", "text", "octets", *(f"canary-key-{other}-" for other in tenants)]
    most = [
        pb.AGGREGATE_FUNCTION_COUNT,
        pb.AGGREGATE_FUNCTION_MIN,
        pb.AGGREGATE_FUNCTION_MAX,
        pb.AGGREGATE_FUNCTION_SUM,
    ]
    figures = [pb.Aggregation(function=function) for function in most]
    count = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_COUNT)]
    top = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_TOP, limit=9)]
    asked = {
        "entity": pb.GetEntityRequest(tenant_id=tenant, entity_id=ENTITY),
        "named": pb.GetEntityRequest(tenant_id=tenant, entity_id=ENTITY, attribute_keys=keys),
        "list": pb.ListEntitiesRequest(tenant_id=tenant, attribute_keys=keys),
        "filter": pb.ListEntitiesRequest(
            tenant_id=tenant, attribute_keys=keys, predicate=condition("text", "canary-"),
            order_by=[pb.SortKey(attribute_key="text", descending=True), pb.SortKey(entity_key=True)],
        ),
        "silent": pb.ListEntitiesRequest(tenant_id=tenant, predicate=pb.Predicate(silent_for=Duration())),
        "history": pb.GetAttributeHistoryRequest(tenant_id=tenant, entity_id=ENTITY, attribute_key="text"),
        "figures": pb.AggregateAttributeRequest(tenant_ids=[tenant], attribute_key="k", aggregations=figures),
        "by entity": pb.AggregateAttributeRequest(
            tenant_ids=[tenant], attribute_key="k", aggregations=figures, group_by=[pb.Grouping(entity=True)]
        ),
        "by key": pb.AggregateAttributeRequest(
            tenant_ids=[tenant], attribute_prefix="", aggregations=count, group_by=[pb.Grouping(attribute=True)]
        ),
        "top": pb.AggregateAttributeRequest(tenant_ids=[tenant], attribute_key="text", aggregations=top),
        "keys": pb.DescribeAttributesRequest(tenant_id=tenant),
    }  # fmt: skip
    for request in asked.values():
        request.freshness.CopyFrom(wanted(source))  # type: ignore[attr-defined]  # each has one
    return asked


def wanted(source: Any) -> fpb.FreshnessRequirement:
    return fpb.FreshnessRequirement(only_source=source, max_staleness=Duration(seconds=20))


async def answer(router: Any, request: Any, *, may_fail: bool = False) -> bytes | None:
    """The answer without what differs from time to time; None, if it may fail, for one that its change made invalid."""
    method = getattr(router, type(request).__name__.removesuffix("Request"))
    try:
        answered = await method(request, timeout=30)
    except aio.AioRpcError as error:
        # A statement that fails is told at length, which may hold up the readings of the lag monitor beside it.
        if may_fail and errors_from(error).code in {StatusCode.INTERNAL, StatusCode.FAILED_PRECONDITION}:
            return None
        raise
    answered.ClearField("freshness")
    for entity in (
        [answered.entity] if isinstance(answered, pb.GetEntityResponse) else getattr(answered, "entities", [])
    ):
        entity.ClearField("silence")
    encoded: bytes = answered.SerializeToString(deterministic=True)
    return encoded


def canaries(encoded: bytes, tenants: Sequence[int]) -> set[int]:
    """The tenants whose canaries are in an answer."""
    return {
        tenant
        for tenant in tenants
        for kind in ("entity", "key", "value", "octets")
        if f"canary-{kind}-{tenant}-".encode() in encoded
    }


def shown(answers: Mapping[tuple[int, str], bytes | None], tenants: Sequence[int]) -> dict[tuple[int, str], set[int]]:
    return {key: canaries(encoded or b"", tenants) for key, encoded in answers.items()}


# What has broken statements of others.
CORPUS = (
    "'", "''", '"', "';--", "' OR '1'='1", "') OR 1=1 --", "1; DROP TABLE entities; --", "$1", "$$", "${x}",
    "%s", "%", "_", "\\", "\\'", "{tenant:Int32}", "{}", ":name", "?",
    "/* */", "--", ";", "a\tb\nc", "\u2019", "\uff07",
    "NULL", "null", "x'; SELECT pg_sleep(5)--", "../../etc/passwd", "a" * 512, "tenant_id",
    "atlas.tenant_id', '1', true), set_config('", "\x1a", "\x7f", "\u202e", "\U0001f600",
)  # fmt: skip


def shapes(tenant: int, text: str) -> dict[str, Any]:
    """Requests with a text in every place that a caller fills; of one name they differ in nothing else."""
    value = AttributeValue(string_value=text)
    few = text[:100]  # as long as an asset type may be
    predicate = pb.Predicate(
        all_of=pb.AllOf(
            predicates=[
                condition(text, text),
                pb.Predicate(any_of=pb.AnyOf(
                    predicates=[pb.Predicate(asset_type=few), pb.Predicate(has_attribute=text)])),
                pb.Predicate(comparison=pb.Comparison(
                    attribute_key=text, operator=pb.COMPARISON_OPERATOR_IN, operands=[value, value])),
            ]
        )
    )  # fmt: skip
    count = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_COUNT)]
    return {
        "entity": pb.GetEntityRequest(tenant_id=tenant, entity_key=text),
        "named": pb.GetEntityRequest(tenant_id=tenant, entity_key=text, attribute_keys=[text, "k"]),
        "list": pb.ListEntitiesRequest(tenant_id=tenant, attribute_keys=[text, "k"]),
        "filter": pb.ListEntitiesRequest(
            tenant_id=tenant, attribute_keys=[text], predicate=predicate, order_by=[pb.SortKey(attribute_key=text)]
        ),
        "history": pb.GetAttributeHistoryRequest(tenant_id=tenant, entity_key=text, attribute_key=text),
        "figures": pb.AggregateAttributeRequest(tenant_ids=[tenant], attribute_key=text, aggregations=count),
        "filtered figures": pb.AggregateAttributeRequest(
            tenant_ids=[tenant], attribute_key=text, aggregations=count, predicate=predicate,
            group_by=[pb.Grouping(attribute_key=text)],
        ),
        "prefix": pb.AggregateAttributeRequest(tenant_ids=[tenant], attribute_prefix=text, aggregations=count),
        "keys": pb.DescribeAttributesRequest(tenant_id=tenant, prefix=text),
    }  # fmt: skip
