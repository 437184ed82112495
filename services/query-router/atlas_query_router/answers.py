"""From answers to the contract."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.figures import Figures
from atlaskit.model import EntityState, Observation, TypedValue
from atlaskit.rpc.times import timestamp_of
from atlaskit.rpc.values import FIELD_OF
from atlaskit.selection.results import FIGURES, results
from atlaskit.selection.searches import (
    EntitySearch,
    ExactSum,
    FunctionKind,
    Group,
    GroupKind,
    GroupSearch,
    Key,
    Result,
    deciding_attributes,
)

from atlas_query_router.questions import ListQuestion

_KEY_FIELDS: Final = {
    GroupKind.ASSET_TYPE: "asset_type",
    GroupKind.ENTITY: "entity_id",
    GroupKind.TENANT: "tenant_id",
    GroupKind.ATTRIBUTE: "attribute",
    GroupKind.SOURCE_TYPE: "source_type",
    GroupKind.VALUE_TYPE: "value_type",
}


def entity_message(state: EntityState, wall: datetime) -> pb.Entity:
    """Return an entity with its values; `wall` tells how long it has been silent."""
    message = pb.Entity(
        tenant_id=state.tenant_id,
        entity_id=state.entity_id,
        entity_key=state.entity_key,
        asset_type=state.asset_type,
        values=[
            pb.CurrentValue(
                attribute_key=value.attribute_key,
                value=value_message(value.value),
                event_time=timestamp_of(value.event_time),
                source_type=value.source_type,
            )
            for value in state.values
        ],
    )
    if state.created_at is not None:
        message.create_time.CopyFrom(timestamp_of(state.created_at))
    if state.values:
        message.silence.FromTimedelta(wall - max(value.event_time for value in state.values))
    return message


def observation_messages(observations: Iterable[Observation]) -> list[pb.Observation]:
    """Return observations in the order given."""
    return [
        pb.Observation(
            event_time=timestamp_of(seen.event_time), value=value_message(seen.value), source_type=seen.source_type
        )
        for seen in observations
    ]


def attribute_reads(question: ListQuestion | EntitySearch, slotted: Collection[str]) -> list[pb.AttributeRead]:
    """Return how each attribute that decides was read."""
    names = deciding_attributes(question) if isinstance(question, EntitySearch) else ()
    paths = {True: pb.ATTRIBUTE_PATH_SLOT, False: pb.ATTRIBUTE_PATH_HISTORY}
    return [pb.AttributeRead(attribute_key=name, path=paths[name in slotted]) for name in names]


def group_message(group: Group, search: GroupSearch) -> pb.AggregateGroup:
    """Return one group with its keys in the order of the grouping and its results in that of the functions."""
    return pb.AggregateGroup(
        keys=[_group_key(part.kind, key) for part, key in zip(search.group_by, group.keys, strict=True)],
        results=[_result(result) for result in group.results],
    )


def plain_group(figures: Figures, search: GroupSearch) -> Group:
    """Return the group of the figures that a fixed statement computed."""
    keys = {GroupKind.ENTITY: figures.entity_id, GroupKind.TIME_BUCKET: figures.bucket}
    computed = {name: getattr(figures, name) for name in FIGURES}
    return Group(tuple(keys[part.kind] for part in search.group_by), results(search.functions, computed), ())


def group_of_nothing(search: GroupSearch) -> Group:
    """Return the one group of a question without grouping when no observation was seen."""
    computed: dict[str, Any] = {name: getattr(Figures(), name) for name in FIGURES}
    computed |= {kind.value: 0 for kind in (FunctionKind.DISTINCT, FunctionKind.ENTITIES, FunctionKind.ATTRIBUTES)}
    none = (FunctionKind.FIRST, FunctionKind.LAST, FunctionKind.FIRST_TIME, FunctionKind.LAST_TIME)
    computed |= {kind.value: None for kind in (*none, FunctionKind.STANDARD_DEVIATION)}
    computed |= {f"percentile_{place}": None for place in range(len(search.functions))} | {"top": ()}
    return Group((), results(search.functions, computed), ())


def attribute_messages(groups: Iterable[Group]) -> list[pb.AttributeDescription]:
    """Return the descriptions of attributes from groups by key and type of value, in their order."""
    messages = []
    for key, of_key in groupby(groups, key=lambda group: group.keys[0]):
        seen = list(of_key)
        messages.append(
            pb.AttributeDescription(
                attribute_key=str(key),
                types=[pb.TypeCount(value_type=group.keys[1], count=group.results[0]) for group in seen],  # type: ignore[arg-type]
                first_event_time=timestamp_of(min(group.results[1] for group in seen)),  # type: ignore[arg-type,type-var]
                last_event_time=timestamp_of(max(group.results[2] for group in seen)),  # type: ignore[arg-type,type-var]
            )
        )
    return messages


def value_message(value: TypedValue) -> AttributeValue:
    """Return a value with its type."""
    message = AttributeValue()
    setattr(message, FIELD_OF[value.type], value.value)
    return message


def _group_key(kind: GroupKind, key: Key) -> pb.GroupKey:
    match key:
        case None:
            return pb.GroupKey()
        case TypedValue():
            return pb.GroupKey(value=value_message(key))
        case datetime():
            return pb.GroupKey(start_time=timestamp_of(key))
    message = pb.GroupKey()
    setattr(message, _KEY_FIELDS[kind], key)
    return message


def _result(result: Result) -> pb.AggregateResult:
    match result:
        case None:
            return pb.AggregateResult()
        case TypedValue():
            return pb.AggregateResult(value=value_message(result))
        case ExactSum(sum=total):
            return pb.AggregateResult(exact_sum=str(total))
        case datetime():
            return pb.AggregateResult(time=timestamp_of(result))
        case tuple():
            values = [pb.CountedValue(value=value_message(one.value), count=one.count) for one in result]
            return pb.AggregateResult(top=pb.TopValues(values=values))
        case _:
            return pb.AggregateResult(count=result)
