"""The questions of `make bench-query`, each by every way there is: through the router, and straight at the stores.

`same`: the statement that the router runs, alone, on a connection of its own that waits for nothing else. `hand`: what
somebody would write who knows the tables and that nothing was deleted. `documents`: the same of JSONB with GIN.
"""

# ruff: noqa: S608  # the statements are made of numbers and names of this file; values are parameters

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from atlas.ingest.v1 import value_pb2 as vpb
from atlas.query.v1 import query_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.hot_load import ASSET_TYPE, TODAY
from benchmarks.hot_queries import PAGE, Filter, Statement, documents, slots
from benchmarks.query_load import Site

CHOSEN = ("model", "smart_9_raw", "smart_194_raw")
HISTORY = "smart_9_raw"
SINCE = TODAY - timedelta(days=1)
_OPERATORS = {
    "=": pb.COMPARISON_OPERATOR_EQUAL,
    ">=": pb.COMPARISON_OPERATOR_GREATER_OR_EQUAL,
    "<": pb.COMPARISON_OPERATOR_LESS,
}
_NUMBERS = "coalesce(to_jsonb(value_int), to_jsonb(value_text), to_jsonb(value_bool))"


class Question(NamedTuple):
    """One question. `read` makes of an answer of the router what `answer` of a way by hand is made of."""

    kind: str
    call: str
    request: Any
    read: Callable[[Any], Any]
    hand: Statement | None = None
    document: Statement | None = None
    of_rows: Callable[[Sequence[Any]], Any] = list
    of_documents: Callable[[Sequence[Any]], Any] = list
    olap: str = ""  # by hand in ClickHouse


def of_one_entity(site: Site, entity: int) -> list[Question]:
    """Return the questions about a single entity: all its values, some of them, and the history of one."""
    return [_entity(site, entity), _attributes(site, entity), _history(site, entity)]


def _entity(site: Site, entity: int) -> Question:
    tenant = site.place.tenant_id
    return Question(
        "entity",
        "GetEntity",
        pb.GetEntityRequest(tenant_id=tenant, entity_id=entity),
        _values,
        Statement(_newest(tenant, ""), [entity]),
        Statement(f"SELECT document FROM documents WHERE tenant_id = {tenant} AND entity_id = $1", [entity]),
        lambda rows: {row["attribute_key"]: json.loads(row["value"]) for row in rows},
        lambda rows: json.loads(rows[0]["document"]),
    )


def _attributes(site: Site, entity: int) -> Question:
    tenant = site.place.tenant_id
    ids = ", ".join(str(site.place.ids[key]) for key in CHOSEN)
    pairs = ", ".join(f"'{key}', document -> '{key}'" for key in CHOSEN)
    return Question(
        "attributes",
        "GetEntity",
        pb.GetEntityRequest(tenant_id=tenant, entity_id=entity, attribute_keys=CHOSEN),
        _values,
        Statement(_newest(tenant, f"AND h.attribute_id IN ({ids})"), [entity]),
        Statement(
            f"SELECT jsonb_build_object({pairs}) AS document FROM documents "
            f"WHERE tenant_id = {tenant} AND entity_id = $1",
            [entity],
        ),
        lambda rows: {row["attribute_key"]: json.loads(row["value"]) for row in rows},
        lambda rows: json.loads(rows[0]["document"]),
    )


def _newest(tenant: int, attributes: str) -> str:
    return f"""SELECT k.attribute_key, n.value FROM (
        SELECT DISTINCT ON (h.attribute_id) h.attribute_id, {_NUMBERS} AS value FROM entity_attributes AS h
        WHERE h.tenant_id = {tenant} AND h.entity_id = $1 {attributes}
        ORDER BY h.attribute_id, h.event_time DESC, h.row_version DESC
    ) AS n JOIN attribute_keys AS k ON k.tenant_id = {tenant} AND k.attribute_id = n.attribute_id"""


def _history(site: Site, entity: int) -> Question:
    tenant = site.place.tenant_id
    request = pb.GetAttributeHistoryRequest(tenant_id=tenant, entity_id=entity, attribute_key=HISTORY)
    request.start_time.FromDatetime(SINCE)
    return Question(
        "history",
        "GetAttributeHistory",
        request,
        lambda answer: [
            (one.event_time.ToDatetime(SINCE.tzinfo), one.value.int64_value) for one in answer.observations
        ],
        Statement(
            f"SELECT event_time, value_int FROM entity_attributes WHERE tenant_id = {tenant} AND entity_id = $1 "
            f"AND attribute_id = {site.place.ids[HISTORY]} AND event_time >= $2 ORDER BY event_time LIMIT 1001",
            [entity, SINCE],
        ),
        of_rows=lambda rows: [(row["event_time"], row["value_int"]) for row in rows],
    )


def filtered(site: Site, wanted: Filter) -> Question:
    """Return the first entities by id that fulfil a filter."""
    request = pb.ListEntitiesRequest(tenant_id=site.place.tenant_id, page_size=PAGE)
    parts = request.predicate.all_of.predicates
    parts.add(asset_type=ASSET_TYPE)
    for one in wanted.predicates:
        compared = parts.add().comparison
        compared.attribute_key, compared.operator = one.key, _OPERATORS[one.operator]
        compared.operand.CopyFrom(_value(one.value))
    return Question(
        f"list: {wanted.name}",
        "ListEntities",
        request,
        lambda answer: [entity.entity_id for entity in answer.entities],
        slots(site.place, wanted),
        documents(site.place, wanted),
        lambda rows: [row["entity_id"] for row in rows],
        lambda rows: [row["entity_id"] for row in rows],
    )


def _value(value: int | str | bool) -> vpb.AttributeValue:
    if isinstance(value, bool):
        return vpb.AttributeValue(bool_value=value)
    return vpb.AttributeValue(int64_value=value) if isinstance(value, int) else vpb.AttributeValue(string_value=value)


def plain(value: vpb.AttributeValue) -> Any:
    """Return the value that a message holds."""
    kind = value.WhichOneof("kind")
    return None if kind is None else getattr(value, kind)


def _values(answer: pb.GetEntityResponse) -> dict[str, Any]:
    return {one.attribute_key: plain(one.value) for one in answer.entity.values}


def instant(message: Timestamp) -> Any:
    """Return an instant of a message."""
    return message.ToDatetime(SINCE.tzinfo)
