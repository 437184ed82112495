"""Predicates, conditions and orders of the contract, checked field by field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as pb
from atlaskit.errors import InvalidRequest
from atlaskit.model import TypedValue, ValueType
from atlaskit.rpc.values import TYPE_OF
from atlaskit.selection.conditions import Operator, Test, passing_tests
from atlaskit.selection.predicates import AllOf, AnyOf, Comparison, Not, OfAssetType, Predicate, SilentFor
from atlaskit.selection.searches import Order
from google.protobuf.duration_pb2 import Duration

from atlas_query_router.fields import key, limited_text

MAX_NODES: Final = 64
MAX_DEPTH: Final = 8
MAX_PARTS: Final = 16
MAX_OPERANDS: Final = 100
MAX_OPERAND_BYTES: Final = 65_536
LONGEST: Final = timedelta(days=36_500)
_OPERATORS: Final = {
    pb.COMPARISON_OPERATOR_EQUAL: Operator.EQUAL,
    pb.COMPARISON_OPERATOR_NOT_EQUAL: Operator.NOT_EQUAL,
    pb.COMPARISON_OPERATOR_LESS: Operator.LESS,
    pb.COMPARISON_OPERATOR_LESS_OR_EQUAL: Operator.LESS_OR_EQUAL,
    pb.COMPARISON_OPERATOR_GREATER: Operator.GREATER,
    pb.COMPARISON_OPERATOR_GREATER_OR_EQUAL: Operator.GREATER_OR_EQUAL,
    pb.COMPARISON_OPERATOR_IN: Operator.IN,
    pb.COMPARISON_OPERATOR_STARTS_WITH: Operator.STARTS_WITH,
    pb.COMPARISON_OPERATOR_EXISTS: Operator.EXISTS,
}


class _Budget:
    """Nodes that a predicate may still have."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def take(self, field: str) -> None:
        self._left -= 1
        if self._left < 0:
            raise InvalidRequest(field, f"a predicate must have at most {MAX_NODES} nodes in all", "TOO_MANY")


def predicate_of(message: pb.Predicate, field: str = "predicate") -> Predicate:
    """Return the predicate. Raises InvalidRequest, naming the node."""
    return _predicate(message, field, 1, _Budget())


def order_of(messages: Sequence[pb.SortKey]) -> tuple[Order, ...]:
    """Return the order. Raises InvalidRequest."""
    if len(messages) > 4:
        raise InvalidRequest("order_by", "must be at most 4", "TOO_MANY")
    return tuple(_sort_key(message, f"order_by[{place}]") for place, message in enumerate(messages))


def conditions_of(messages: Sequence[pb.ValueCondition]) -> tuple[tuple[Test, ...], ...]:
    """Return the tests of each condition on the value of an observation. Raises InvalidRequest."""
    if len(messages) > 4:
        raise InvalidRequest("value_conditions", "must be at most 4", "TOO_MANY")
    conditions = []
    for place, message in enumerate(messages):
        field = f"value_conditions[{place}]"
        if message.operator == pb.COMPARISON_OPERATOR_EXISTS:
            raise InvalidRequest(
                f"{field}.operator", "EXISTS holds for every observation; leave it out", "OUT_OF_RANGE"
            )
        conditions.append(
            _tests(message.operator, message.HasField("operand"), message.operand, message.operands, field)
        )
    return tuple(conditions)


def duration(message: Duration, field: str) -> timedelta:
    """Return a duration of 0 to 36500 days, of whole microseconds. Raises InvalidRequest."""
    if message.nanos % 1000:
        raise InvalidRequest(field, "must not be finer than a microsecond", "TOO_FINE")
    length = timedelta(seconds=max(min(message.seconds, 10**10), -(10**10)), microseconds=message.nanos // 1000)
    if not timedelta(0) <= length <= LONGEST:
        raise InvalidRequest(field, f"must be 0 to {LONGEST.days} days", "OUT_OF_RANGE")
    return length


def _predicate(message: pb.Predicate, field: str, depth: int, budget: _Budget) -> Predicate:
    budget.take(field)
    if depth > MAX_DEPTH:
        raise InvalidRequest(field, f"must be at most {MAX_DEPTH} levels deep", "TOO_DEEP")
    match message.WhichOneof("kind"):
        case "all_of":
            return AllOf(_parts(message.all_of.predicates, f"{field}.all_of", depth, budget))
        case "any_of":
            return AnyOf(_parts(message.any_of.predicates, f"{field}.any_of", depth, budget))
        case "negation":
            return Not(_predicate(message.negation, f"{field}.negation", depth + 1, budget))
        case _:
            return _leaf(message, field)


def _leaf(message: pb.Predicate, field: str) -> Predicate:
    match message.WhichOneof("kind"):
        case "comparison":
            return _comparison(message.comparison, f"{field}.comparison")
        case "has_attribute":
            return Comparison(key(message.has_attribute, f"{field}.has_attribute"), passing_tests(Operator.EXISTS, ()))
        case "asset_type":
            return OfAssetType(limited_text(message.asset_type, f"{field}.asset_type", 128))
        case "silent_for":
            return SilentFor(duration(message.silent_for, f"{field}.silent_for"))
        case _:
            raise InvalidRequest(field, "must be one kind of condition", "REQUIRED")


def _parts(messages: Sequence[pb.Predicate], field: str, depth: int, budget: _Budget) -> tuple[Predicate, ...]:
    if not 1 <= len(messages) <= MAX_PARTS:
        raise InvalidRequest(f"{field}.predicates", f"must be 1 to {MAX_PARTS}", "OUT_OF_RANGE")
    return tuple(
        _predicate(message, f"{field}.predicates[{place}]", depth + 1, budget) for place, message in enumerate(messages)
    )


def _comparison(message: pb.Comparison, field: str) -> Comparison:
    attribute = key(message.attribute_key, f"{field}.attribute_key")
    tests = _tests(message.operator, message.HasField("operand"), message.operand, message.operands, field)
    within = duration(message.within, f"{field}.within") if message.HasField("within") else None
    return Comparison(attribute, tests, within)


def _tests(
    operator: int, has_operand: bool, operand: AttributeValue, operands: Sequence[AttributeValue], field: str
) -> tuple[Test, ...]:
    asked = _OPERATORS.get(operator)  # type: ignore[call-overload]  # an enum of protobuf is an int
    if asked is None:
        raise InvalidRequest(f"{field}.operator", "must be an operator", "UNKNOWN_ENUM")
    if asked is not Operator.IN and operands:
        raise InvalidRequest(f"{field}.operands", "are for IN alone; use operand", "OUT_OF_RANGE")
    if asked in (Operator.IN, Operator.EXISTS):
        if has_operand:
            raise InvalidRequest(f"{field}.operand", f"must not be set for {asked.name}", "OUT_OF_RANGE")
        if asked is Operator.EXISTS:
            return passing_tests(asked, ())
        if not 1 <= len(operands) <= MAX_OPERANDS:
            raise InvalidRequest(f"{field}.operands", f"must be 1 to {MAX_OPERANDS}", "OUT_OF_RANGE")
        return passing_tests(asked, [_operand(one, f"{field}.operands[{place}]") for place, one in enumerate(operands)])
    value = _operand(operand, f"{field}.operand")
    if asked is Operator.STARTS_WITH and value.type is not ValueType.STRING:
        raise InvalidRequest(f"{field}.operand", "must be text for STARTS_WITH", "TYPE_WRONG")
    return passing_tests(asked, [value])


def _operand(message: AttributeValue, field: str) -> TypedValue:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest(field, "must hold a value", "REQUIRED")
    value = getattr(message, kind)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(field, "must be finite", "NOT_FINITE")
    if isinstance(value, str | bytes):
        if len(value) > MAX_OPERAND_BYTES:
            raise InvalidRequest(field, f"must be at most {MAX_OPERAND_BYTES} bytes", "TOO_LONG")
        if isinstance(value, str) and "\0" in value:
            raise InvalidRequest(field, "must not hold NUL", "NUL_CHARACTER")
    return TypedValue(TYPE_OF[kind], value)


def _sort_key(message: pb.SortKey, field: str) -> Order:
    match message.WhichOneof("key"):
        case "attribute_key":
            return Order(key(message.attribute_key, f"{field}.attribute_key"), message.descending)
        case "entity_key" if message.entity_key:
            return Order(None, message.descending)
        case _:
            raise InvalidRequest(field, "must name an attribute, or entity_key", "REQUIRED")
