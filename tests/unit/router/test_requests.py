from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as pb
from atlas_query_router.grouping import aggregate_question, describe_question
from atlas_query_router.questions import EntityQuestion, can_answer
from atlas_query_router.requests import (
    entity_question,
    entity_requirement,
    history_question,
    list_question,
    requirement_of,
)
from atlaskit.errors import InvalidRequest
from atlaskit.freshness.requirement import Policy, UseCase
from atlaskit.model import Source
from atlaskit.position import Lsn, Token
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

OPERATIONAL = UseCase.OPERATIONAL_REPORT
COUNT = pb.Aggregation(function=pb.AGGREGATE_FUNCTION_COUNT)


def test_an_unset_requirement_is_that_of_the_call_and_fails_fast() -> None:
    requirement = requirement_of(fpb.FreshnessRequirement(), UseCase.ANALYTICS)
    assert (requirement.use_case, requirement.policy) == (UseCase.ANALYTICS, Policy.FAIL_FAST)
    assert (requirement.at_least, requirement.max_wait, requirement.want_session_token) == (None, None, False)


def test_an_unspecified_use_case_means_operational_report() -> None:
    asked = fpb.FreshnessRequirement(use_case=fpb.USE_CASE_UNSPECIFIED)
    assert requirement_of(asked, UseCase.ANALYTICS).use_case is OPERATIONAL


def test_a_limit_takes_the_sources_of_the_narrowest_use_case() -> None:
    asked = fpb.FreshnessRequirement(max_staleness=Duration(seconds=2))
    requirement = requirement_of(asked, OPERATIONAL)
    assert (requirement.use_case, requirement.max_staleness) == (OPERATIONAL, timedelta(seconds=2))


def test_only_source_leaves_no_other() -> None:
    asked = fpb.FreshnessRequirement(use_case=fpb.USE_CASE_DASHBOARD, only_source=fpb.DATA_SOURCE_OLAP)
    assert requirement_of(asked, OPERATIONAL).sources == (Source.OLAP,)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (fpb.FreshnessRequirement(use_case=99), "freshness.use_case"),  # type: ignore[arg-type]
        (fpb.FreshnessRequirement(policy=99), "freshness.policy"),  # type: ignore[arg-type]
        (fpb.FreshnessRequirement(max_staleness=Duration()), "freshness.max_staleness"),
        (fpb.FreshnessRequirement(max_staleness=Duration(seconds=86_401)), "freshness.max_staleness"),
        (fpb.FreshnessRequirement(max_wait=Duration(seconds=-1)), "freshness.max_wait"),
        (fpb.FreshnessRequirement(at_least_token="a1.0.5"), "freshness.at_least_token"),
        (fpb.FreshnessRequirement(only_source=fpb.DATA_SOURCE_MIXED), "freshness.only_source"),
    ],
)
def test_a_wrong_requirement_is_refused_by_its_path(asked: fpb.FreshnessRequirement, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        requirement_of(asked, OPERATIONAL)
    assert refused.value.field == field


WRONG: list[tuple[Callable[[Any], object], Any, str]] = [
    (entity_question, pb.GetEntityRequest(entity_key="e"), "tenant_id"),
    (entity_question, pb.GetEntityRequest(tenant_id=-1, entity_key="e"), "tenant_id"),
    (entity_question, pb.GetEntityRequest(tenant_id=1), "entity"),
    (entity_question, pb.GetEntityRequest(tenant_id=1, entity_key=""), "entity_key"),
    (entity_question, pb.GetEntityRequest(tenant_id=1, entity_key="é" * 257), "entity_key"),
    (entity_question, pb.GetEntityRequest(tenant_id=1, entity_key="a\0"), "entity_key"),
    (entity_question, pb.GetEntityRequest(tenant_id=1, entity_id=-1), "entity_id"),
    (entity_question, pb.GetEntityRequest(tenant_id=1, entity_id=1, attribute_keys=["a", ""]), "attribute_keys[1]"),
    (entity_question, pb.GetEntityRequest(tenant_id=1, entity_id=1, attribute_keys=["a"] * 1001), "attribute_keys"),
    (
        entity_question,
        pb.GetEntityRequest(tenant_id=1, entity_id=1, as_of_event_time=Timestamp(nanos=1)),
        "as_of_event_time",
    ),
    (
        entity_question,
        pb.GetEntityRequest(tenant_id=1, entity_id=1, as_of_event_time=Timestamp(seconds=2**60)),
        "as_of_event_time",
    ),
    (list_question, pb.ListEntitiesRequest(tenant_id=1, page_size=-1), "page_size"),
    (history_question, pb.GetAttributeHistoryRequest(tenant_id=1, entity_id=1), "attribute_key"),
    (
        history_question,
        pb.GetAttributeHistoryRequest(
            tenant_id=1, entity_id=1, attribute_key="k", start_time=Timestamp(seconds=1), end_time=Timestamp(seconds=1)
        ),
        "end_time",
    ),
    (aggregate_question, pb.AggregateAttributeRequest(attribute_key="k", aggregations=[COUNT]), "tenant_ids"),
    (aggregate_question, pb.AggregateAttributeRequest(tenant_ids=[1], attribute_key="k"), "aggregations"),
    (
        aggregate_question,
        pb.AggregateAttributeRequest(tenant_ids=[1], attribute_key="k", aggregations=[pb.Aggregation()]),
        "aggregations[0].function",
    ),
    (
        aggregate_question,
        pb.AggregateAttributeRequest(
            tenant_ids=[1],
            attribute_key="k",
            aggregations=[COUNT],
            group_by=[pb.Grouping(entity=True), pb.Grouping(time_bucket=Duration(seconds=59))],
        ),
        "group_by[1].time_bucket",
    ),
]


@pytest.mark.parametrize(("question", "request_", "field"), WRONG)
def test_a_wrong_field_is_refused_by_its_path(question: Callable[[Any], object], request_: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        question(request_)
    assert refused.value.field == field


def listed(predicate: pb.Predicate | None = None, **fields: Any) -> pb.ListEntitiesRequest:
    return pb.ListEntitiesRequest(tenant_id=1, predicate=predicate, **fields)


def compared(operator: int = pb.COMPARISON_OPERATOR_EQUAL, **fields: Any) -> pb.Predicate:
    return pb.Predicate(comparison=pb.Comparison(attribute_key="k", operator=operator, **fields))  # type: ignore[arg-type]


def aggregated(**fields: Any) -> pb.AggregateAttributeRequest:
    return pb.AggregateAttributeRequest(**{"tenant_ids": [1], "attribute_key": "k", "aggregations": [COUNT], **fields})


def nested(depth: int) -> pb.Predicate:
    return pb.Predicate(negation=nested(depth - 1)) if depth else pb.Predicate(has_attribute="k")


ONE = AttributeValue(int64_value=1)
PERCENTILE = pb.AGGREGATE_FUNCTION_PERCENTILE
IN, LESS = pb.COMPARISON_OPERATOR_IN, pb.COMPARISON_OPERATOR_LESS
WIDE = pb.Predicate(all_of=pb.AllOf(predicates=[pb.Predicate(has_attribute="k")] * 16))
WRONG_CHOICES: list[tuple[Callable[[Any], object], Any, str]] = [
    (list_question, listed(pb.Predicate()), "predicate"),
    (list_question, listed(pb.Predicate(negation=pb.Predicate())), "predicate.negation"),
    (list_question, listed(pb.Predicate(all_of=pb.AllOf())), "predicate.all_of.predicates"),
    (list_question, listed(pb.Predicate(has_attribute="")), "predicate.has_attribute"),
    (list_question, listed(pb.Predicate(asset_type="x" * 129)), "predicate.asset_type"),
    (list_question, listed(pb.Predicate(silent_for=Duration(seconds=-1))), "predicate.silent_for"),
    (list_question, listed(nested(8)), "predicate" + ".negation" * 8),
    (
        list_question,
        listed(pb.Predicate(any_of=pb.AnyOf(predicates=[WIDE] * 4))),
        "predicate.any_of.predicates[3].all_of.predicates[11]",
    ),
    (list_question, listed(compared()), "predicate.comparison.operand"),
    (list_question, listed(compared(99, operand=ONE)), "predicate.comparison.operator"),
    (list_question, listed(compared(operand=ONE, operands=[ONE])), "predicate.comparison.operands"),
    (list_question, listed(compared(IN)), "predicate.comparison.operands"),
    (list_question, listed(compared(IN, operands=[ONE] * 101)), "predicate.comparison.operands"),
    (list_question, listed(compared(IN, operands=[ONE, AttributeValue()])), "predicate.comparison.operands[1]"),
    (
        list_question,
        listed(compared(pb.COMPARISON_OPERATOR_STARTS_WITH, operand=ONE)),
        "predicate.comparison.operand",
    ),
    (
        list_question,
        listed(compared(pb.COMPARISON_OPERATOR_EXISTS, operand=ONE)),
        "predicate.comparison.operand",
    ),
    (
        list_question,
        listed(compared(LESS, operand=AttributeValue(double_value=float("nan")))),
        "predicate.comparison.operand",
    ),
    (
        list_question,
        listed(compared(operand=ONE, within=Duration(nanos=1))),
        "predicate.comparison.within",
    ),
    (list_question, listed(order_by=[pb.SortKey()]), "order_by[0]"),
    (list_question, listed(order_by=[pb.SortKey(attribute_key="k")] * 5), "order_by"),
    (aggregate_question, aggregated(attribute_prefix="k"), "attribute_prefix"),
    (aggregate_question, aggregated(tenant_ids=[1] * 101), "tenant_ids"),
    (aggregate_question, aggregated(tenant_ids=[1, 0]), "tenant_ids[1]"),
    (aggregate_question, aggregated(aggregations=[pb.Aggregation(function=PERCENTILE)]), "aggregations[0].fraction"),
    (
        aggregate_question,
        aggregated(aggregations=[pb.Aggregation(function=PERCENTILE, fraction=0)]),
        "aggregations[0].fraction",
    ),
    (
        aggregate_question,
        aggregated(aggregations=[COUNT, pb.Aggregation(function=pb.AGGREGATE_FUNCTION_TOP)]),
        "aggregations[1].limit",
    ),
    (aggregate_question, aggregated(group_by=[pb.Grouping(entity=True)] * 5), "group_by"),
    (aggregate_question, aggregated(group_by=[pb.Grouping(tenant=False)]), "group_by[0].tenant"),
    (
        aggregate_question,
        aggregated(value_conditions=[pb.ValueCondition(operator=pb.COMPARISON_OPERATOR_EXISTS)]),
        "value_conditions[0].operator",
    ),
    (aggregate_question, aggregated(scope=9), "scope"),
    (describe_question, pb.DescribeAttributesRequest(tenant_id=1, prefix="é" * 257), "prefix"),
    (describe_question, pb.DescribeAttributesRequest(), "tenant_id"),
]


@pytest.mark.parametrize(("question", "request_", "field"), WRONG_CHOICES)
def test_a_wrong_choice_is_refused_by_its_path(question: Callable[[Any], object], request_: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        question(request_)
    assert refused.value.field == field


def test_a_read_as_of_a_token_asks_for_a_copy_that_covers_it() -> None:
    request = pb.GetEntityRequest(tenant_id=1, entity_id=1, as_of_token="a1.3.1f")
    assert entity_question(request).position == Lsn(0x1F)
    assert entity_requirement(request).at_least == Token(3, Lsn(0x1F))


@pytest.mark.parametrize(("as_of", "at_least"), [("a1.3.1f", "a1.3.1f"), ("nonsense", "")])
def test_a_token_to_read_as_of_stands_alone_and_is_one(as_of: str, at_least: str) -> None:
    request = pb.GetEntityRequest(tenant_id=1, entity_id=1, as_of_token=as_of)
    request.freshness.at_least_token = at_least
    with pytest.raises(InvalidRequest) as refused:
        entity_requirement(request)
    assert refused.value.field == ("freshness.at_least_token" if at_least else "as_of_token")


@pytest.mark.parametrize(
    ("position", "able"), [(None, list(Source)), (Lsn(9), [Source.PRIMARY, Source.REPLICA, Source.LAKE])]
)
def test_what_clickhouse_held_at_a_position_is_gone(position: Lsn | None, able: list[Source]) -> None:
    question = EntityQuestion(1, "e", position=position)
    assert [source for source in Source if can_answer(source, question)] == able


def test_a_page_has_its_default_and_its_limit() -> None:
    assert [list_question(pb.ListEntitiesRequest(tenant_id=1, page_size=n)).most for n in (0, 7, 9999)] == [
        100,
        7,
        1000,
    ]
