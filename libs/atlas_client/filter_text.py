"""A predicate of the contract as the CEL expression that states it."""

from __future__ import annotations

import math
from typing import Final

from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from atlas_client.values import Uint64, from_message

_SYMBOLS: Final = {
    pb.COMPARISON_OPERATOR_EQUAL: "==",
    pb.COMPARISON_OPERATOR_NOT_EQUAL: "!=",
    pb.COMPARISON_OPERATOR_LESS: "<",
    pb.COMPARISON_OPERATOR_LESS_OR_EQUAL: "<=",
    pb.COMPARISON_OPERATOR_GREATER: ">",
    pb.COMPARISON_OPERATOR_GREATER_OR_EQUAL: ">=",
}
_UNITS: Final = ((3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms"), (1, "us"))


def text_of(predicate: pb.Predicate) -> str:
    """Return the expression that `filters.predicate_of` reads as this predicate.

    All of one condition is that condition, and all of all are one: such nesting does not come back. Raises ValueError
    for what no filter may hold: an operator that this release does not know, a number that is not finite.
    """
    kind = predicate.WhichOneof("kind")
    match kind:
        case "all_of":
            return " && ".join(_part(one, "any_of") for one in predicate.all_of.predicates)
        case "any_of":
            return " || ".join(_part(one, "all_of") for one in predicate.any_of.predicates)
        case "negation":
            return f"!({text_of(predicate.negation)})"
        case _:
            return _condition(predicate)


def _condition(predicate: pb.Predicate) -> str:
    kind = predicate.WhichOneof("kind")
    match kind:
        case "comparison":
            return _compared(predicate.comparison)
        case "has_attribute":
            return f"{_quoted(predicate.has_attribute)} in attr"
        case "asset_type":
            return f"asset_type == {_quoted(predicate.asset_type)}"
        case "silent_for":
            return f"silent_for({_span(predicate.silent_for)})"
        case _:
            raise ValueError("the predicate has no condition that this release knows")


def _part(predicate: pb.Predicate, other: str) -> str:
    text = text_of(predicate)
    return f"({text})" if predicate.WhichOneof("kind") == other else text


def _compared(comparison: pb.Comparison) -> str:
    value = f"attr[{_quoted(comparison.attribute_key)}]"
    if comparison.HasField("within"):
        value += f".within({_span(comparison.within)})"
    match comparison.operator:
        case pb.COMPARISON_OPERATOR_EXISTS:
            return f"exists({value})"
        case pb.COMPARISON_OPERATOR_STARTS_WITH:
            return f"{value}.startsWith({_constant(comparison.operand)})"
        case pb.COMPARISON_OPERATOR_IN:
            return f"{value} in [{', '.join(map(_constant, comparison.operands))}]"
        case operator if operator in _SYMBOLS:
            return f"{value} {_SYMBOLS[operator]} {_constant(comparison.operand)}"
        case unknown:
            raise ValueError(f"{unknown} is no operator that this release knows")


def _constant(message: AttributeValue) -> str:
    match from_message(message):
        case bool(value):
            return "true" if value else "false"
        case Uint64() as value:
            return f"{int(value)}u"
        case int(value):
            return str(value)
        case float(value) if math.isfinite(value):
            return repr(value)
        case str(value):
            return _quoted(value)
        case bytes(value):
            return 'b"' + "".join(f"\\x{octet:02x}" for octet in value) + '"'
        case other:
            raise ValueError(f"{other!r} is no value that a filter compares with")


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _span(message: Duration) -> str:
    microseconds, finer = divmod(message.seconds * 1_000_000_000 + message.nanos, 1000)
    if finer or microseconds < 0:
        raise ValueError("a span is of whole microseconds and not negative")
    scale, unit = next(one for one in _UNITS if microseconds % one[0] == 0)
    return f'"{microseconds // scale}{unit}"'
