from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas_query_router.requests import (
    entity_question,
    figures_question,
    history_question,
    list_question,
    requirement_of,
)
from atlaskit.errors import InvalidRequest, NotBuilt
from atlaskit.freshness.requirement import Policy, UseCase
from atlaskit.model import Source
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
    (figures_question, pb.AggregateAttributeRequest(attribute_key="k", aggregations=[COUNT]), "tenant_ids"),
    (figures_question, pb.AggregateAttributeRequest(tenant_ids=[1], attribute_key="k"), "aggregations"),
    (
        figures_question,
        pb.AggregateAttributeRequest(tenant_ids=[1], attribute_key="k", aggregations=[pb.Aggregation()]),
        "aggregations[0].function",
    ),
    (
        figures_question,
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


@pytest.mark.parametrize(
    ("question", "request_"),
    [
        (entity_question, pb.GetEntityRequest(tenant_id=1, entity_id=1, as_of_token="a1.1.1")),
        (list_question, pb.ListEntitiesRequest(tenant_id=1, predicate=pb.Predicate(has_attribute="a"))),
        (list_question, pb.ListEntitiesRequest(tenant_id=1, order_by=[pb.SortKey(attribute_key="a")])),
        (figures_question, pb.AggregateAttributeRequest(tenant_ids=[1, 2])),
        (
            figures_question,
            pb.AggregateAttributeRequest(
                tenant_ids=[1], attribute_key="k", aggregations=[pb.Aggregation(function=pb.AGGREGATE_FUNCTION_TOP)]
            ),
        ),
        (
            figures_question,
            pb.AggregateAttributeRequest(
                tenant_ids=[1], attribute_key="k", aggregations=[COUNT], group_by=[pb.Grouping(asset_type=True)]
            ),
        ),
    ],
)
def test_what_is_not_built_says_so(question: Callable[[Any], object], request_: Any) -> None:
    with pytest.raises(NotBuilt, match="not built yet|built yet"):
        question(request_)


def test_a_page_has_its_default_and_its_limit() -> None:
    assert [list_question(pb.ListEntitiesRequest(tenant_id=1, page_size=n)).most for n in (0, 7, 9999)] == [
        100,
        7,
        1000,
    ]
