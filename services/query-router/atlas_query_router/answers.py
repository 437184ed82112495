"""From answers to the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.figures import Figures
from atlaskit.model import EntityState, Observation, TypedValue, ValueType
from atlaskit.rpc.times import timestamp_of

_FIELDS: Final = {
    ValueType.INT64: "int64_value",
    ValueType.UINT64: "uint64_value",
    ValueType.DOUBLE: "double_value",
    ValueType.BOOL: "bool_value",
    ValueType.STRING: "string_value",
    ValueType.BYTES: "bytes_value",
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


def group_message(figures: Figures, request: pb.AggregateAttributeRequest) -> pb.AggregateGroup:
    """Return one group with its keys in the order of the grouping and its results in that of the aggregates."""
    return pb.AggregateGroup(
        keys=[_group_key(figures, grouping) for grouping in request.group_by],
        results=_results(figures, request.aggregations),
    )


def value_message(value: TypedValue) -> AttributeValue:
    """Return a value with its type."""
    message = AttributeValue()
    setattr(message, _FIELDS[value.type], value.value)
    return message


def _group_key(figures: Figures, grouping: pb.Grouping) -> pb.GroupKey:
    if grouping.WhichOneof("key") == "entity":
        assert figures.entity_id is not None
        return pb.GroupKey(entity_id=figures.entity_id)
    assert figures.bucket is not None
    return pb.GroupKey(start_time=timestamp_of(figures.bucket))


def _results(figures: Figures, aggregations: Sequence[pb.Aggregation]) -> list[pb.AggregateResult]:
    return [_result(figures, asked.function) for asked in aggregations]


def _result(figures: Figures, function: int) -> pb.AggregateResult:
    match function:
        case pb.AGGREGATE_FUNCTION_COUNT:
            return pb.AggregateResult(count=figures.count)
        case pb.AGGREGATE_FUNCTION_MIN:
            return _value(figures.minimum())
        case pb.AGGREGATE_FUNCTION_MAX:
            return _value(figures.maximum())
        case pb.AGGREGATE_FUNCTION_SUM if (exact := figures.exact_sum()) is not None:
            return pb.AggregateResult(exact_sum=str(exact))
        case pb.AGGREGATE_FUNCTION_SUM:
            return _double(figures.sum())
        case _:
            return _double(figures.mean())


def _value(value: TypedValue | None) -> pb.AggregateResult:
    return pb.AggregateResult() if value is None else pb.AggregateResult(value=value_message(value))


def _double(number: float | None) -> pb.AggregateResult:
    return pb.AggregateResult() if number is None else pb.AggregateResult(value=AttributeValue(double_value=number))
