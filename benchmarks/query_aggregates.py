"""The analytical questions of `make bench-query`, and the same by hand in ClickHouse, PostgreSQL and of documents."""

# ruff: noqa: S608  # the statements are made of numbers and names of this file

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from atlas.query.v1 import query_service_pb2 as pb

from benchmarks.hot_load import DAY_US, Drives
from benchmarks.hot_queries import Statement, filters
from benchmarks.query_arms import Question, filtered, instant, plain
from benchmarks.query_load import Site

COUNT, MEAN = pb.AGGREGATE_FUNCTION_COUNT, pb.AGGREGATE_FUNCTION_AVERAGE
LATEST = pb.OBSERVATION_SCOPE_LATEST
SHARES = (0.5, 0.95, 0.99)


def analytical(site: Site, drives: Drives) -> list[Question]:
    """Return one question of each analytical kind, and a search that reads ClickHouse."""
    search = filtered(site, filters(drives, 0)[0])._replace(hand=None, document=None)
    return [_figures(site), _days(site), _models(site), _percentiles(site), _top(site), _failed(site), search]


def _asked(site: Site, attribute: str, *functions: Any, **more: Any) -> pb.AggregateAttributeRequest:
    aggregations = [one if isinstance(one, pb.Aggregation) else pb.Aggregation(function=one) for one in functions]
    return pb.AggregateAttributeRequest(
        tenant_ids=[site.place.tenant_id], attribute_key=attribute, aggregations=aggregations, **more
    )


def _groups(answer: pb.AggregateAttributeResponse) -> list[tuple[Any, ...]]:
    return sorted((*map(_key, group.keys), *map(_result, group.results)) for group in answer.groups)


def _key(key: pb.GroupKey) -> Any:
    return instant(key.start_time) if key.WhichOneof("key") == "start_time" else plain(key.value)


def _result(result: pb.AggregateResult) -> Any:
    match result.WhichOneof("result"):
        case "count":
            return result.count
        case "exact_sum":
            return int(result.exact_sum)
        case "top":
            return tuple((plain(one.value), one.count) for one in result.top.values)
        case _:
            return rounded(plain(result.value))


def rounded(value: Any) -> Any:
    """Return a double to nine digits: stores add up in different orders."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def rows(found: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return rows of a store, in an order."""
    return sorted(tuple(map(rounded, row)) for row in found)


def _events(site: Site, attribute: str) -> str:
    return (
        f"entity_analytics_events FINAL WHERE tenant_id = {site.place.tenant_id} "
        f"AND attribute_key = '{attribute}' AND deletion = 0"
    )


def _history(site: Site, attribute: str) -> str:
    return (
        f"entity_attributes WHERE tenant_id = {site.place.tenant_id} AND attribute_id = {site.place.ids[attribute]} "
        "AND deletion = 0"
    )


def _newest(site: Site, attribute: str, column: str) -> str:
    return (
        f"(SELECT entity_id, argMax({column}, event_timestamp) AS value FROM {_events(site, attribute)} "
        "GROUP BY entity_id)"
    )


def _question(kind: str, request: Any, olap: str, hand: str, document: str = "") -> Question:
    return Question(
        kind,
        "AggregateAttribute",
        request,
        _groups,
        Statement(hand, []),
        Statement(document, []) if document else None,
        rows,
        rows,
        olap,
    )


def _figures(site: Site) -> Question:
    functions = (COUNT, pb.AGGREGATE_FUNCTION_MIN, pb.AGGREGATE_FUNCTION_MAX, MEAN, pb.AGGREGATE_FUNCTION_SUM)
    return _question(
        "figures of all",
        _asked(site, "smart_9_raw", *functions),
        "SELECT count(), min(value_int64), max(value_int64), avg(value_int64), sum(value_int64) "
        f"FROM {_events(site, 'smart_9_raw')}",
        "SELECT count(*), min(value_int), max(value_int), avg(value_int)::float8, sum(value_int)::bigint "
        f"FROM {_history(site, 'smart_9_raw')}",
    )


def _days(site: Site) -> Question:
    day = pb.Grouping()
    day.time_bucket.FromTimedelta(timedelta(microseconds=DAY_US))
    return _question(
        "by day",
        _asked(site, "smart_194_raw", COUNT, MEAN, group_by=[day]),
        "SELECT toStartOfDay(event_timestamp, 'UTC') AS day, count(), avg(value_int64) "
        f"FROM {_events(site, 'smart_194_raw')} GROUP BY day",
        "SELECT date_trunc('day', event_time, 'UTC'), count(*), avg(value_int)::float8 "
        f"FROM {_history(site, 'smart_194_raw')} GROUP BY 1",
    )


def _models(site: Site) -> Question:
    tenant = site.place.tenant_id
    return _question(
        "newest by model",
        _asked(site, "smart_9_raw", COUNT, MEAN, scope=LATEST, group_by=[pb.Grouping(attribute_key="model")]),
        f"SELECT m.value, count(), avg(h.value) FROM {_newest(site, 'smart_9_raw', 'value_int64')} AS h "
        f"INNER JOIN {_newest(site, 'model', 'value_string')} AS m ON m.entity_id = h.entity_id GROUP BY m.value",
        f"SELECT text_1, count(*), avg(int_4)::float8 FROM entity_hot_attributes WHERE tenant_id = {tenant} GROUP BY 1",
        "SELECT document ->> 'model', count(*), avg((document ->> 'smart_9_raw')::bigint)::float8 "
        f"FROM documents WHERE tenant_id = {tenant} GROUP BY 1",
    )


def _percentiles(site: Site) -> Question:
    tenant = site.place.tenant_id
    asked = [pb.Aggregation(function=pb.AGGREGATE_FUNCTION_PERCENTILE, fraction=share) for share in SHARES]
    places = ", ".join(f"sorted[toUInt64(ceil({share} * length(sorted)))]" for share in SHARES)
    hours = "(document ->> 'smart_9_raw')::bigint"
    by_hand = ", ".join(f"percentile_disc({share}) WITHIN GROUP (ORDER BY {{0}})" for share in SHARES)
    return _question(
        "percentiles of newest",
        _asked(site, "smart_9_raw", *asked, scope=LATEST),
        f"SELECT {places} FROM (SELECT arraySort(groupArray(value)) AS sorted "
        f"FROM {_newest(site, 'smart_9_raw', 'value_int64')})",
        f"SELECT {by_hand.format('int_4')} FROM entity_hot_attributes WHERE tenant_id = {tenant}",
        f"SELECT {by_hand.format(hours)} FROM documents WHERE tenant_id = {tenant}",
    )


def _top(site: Site) -> Question:
    tenant = site.place.tenant_id
    asked = pb.Aggregation(function=pb.AGGREGATE_FUNCTION_TOP, limit=10)
    request = _asked(site, "model", asked, scope=LATEST)
    return _question(
        "top 10 of newest",
        request,
        f"SELECT value, count() AS times FROM {_newest(site, 'model', 'value_string')} "
        "GROUP BY value ORDER BY times DESC, value LIMIT 10",
        f"SELECT text_1, count(*) FROM entity_hot_attributes WHERE tenant_id = {tenant} "
        'GROUP BY 1 ORDER BY 2 DESC, text_1 COLLATE "C" LIMIT 10',
        f"SELECT document ->> 'model', count(*) FROM documents WHERE tenant_id = {tenant} "
        "GROUP BY 1 ORDER BY 2 DESC, (document ->> 'model') COLLATE \"C\" LIMIT 10",
    )._replace(read=lambda answer: sorted(_result(answer.groups[0].results[0])))


def _failed(site: Site) -> Question:
    tenant, ids = site.place.tenant_id, site.place.ids
    request = _asked(site, "smart_194_raw", COUNT, MEAN)
    compared = request.predicate.comparison
    compared.attribute_key, compared.operator = "failure", pb.COMPARISON_OPERATOR_EQUAL
    compared.operand.bool_value = True
    return _question(
        "of failed drives",
        request,
        f"SELECT count(), avg(value_int64) FROM {_events(site, 'smart_194_raw')} AND entity_id IN "
        f"(SELECT entity_id FROM {_newest(site, 'failure', 'value_bool')} WHERE value)",
        f"SELECT count(*), avg(h.value_int)::float8 FROM entity_hot_attributes AS s JOIN entity_attributes AS h "
        f"ON h.tenant_id = {tenant} AND h.entity_id = s.entity_id AND h.attribute_id = {ids['smart_194_raw']} "
        f"WHERE s.tenant_id = {tenant} AND s.bool_1_mapping = {ids['failure']} AND NOT s.bool_1_deleted AND s.bool_1",
    )
