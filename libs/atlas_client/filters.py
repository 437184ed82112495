r"""Filters for people: an expression of CEL becomes the contract's Predicate, whole or not at all.

    attr["smart_5_raw"] > 0 && asset_type == "disk" && !silent_for("24h")

| CEL | means |
|---|---|
| `attr["key"] == 5`, `!=`, `<`, `<=`, `>`, `>=`, `in [1, 2]` | there is a value of that kind, and it compares so |
| `attr["key"].startsWith("ab")` | there is text that begins so |
| `attr["key"].within("1h") > 5` | only a value observed at most this long before the newest of the entity |
| `has(attr.key)`, `"key" in attr` | the entity has the attribute |
| `exists(attr["key"].within("1h"))` | there is a value, of whatever kind, and that recent |
| `asset_type == "disk"`, also `!=`, `in ["disk", "fan"]` | its asset type |
| `silent_for("24h")` | nothing was observed of the entity for this long |
| `&&`, `\|\|`, `!(...)` | and, or, not |

Constants are whole numbers (`5`, `-5`; `5u` for UINT64), doubles (`5.0`), text, octets (`b"\x00"`) and booleans;
numbers of different types compare by value. A span is text such as `"90m"`, `"1h30m"` or `"250ms"`, in h, m, s, ms and
us. `attr.key` is short for `attr["key"]`. Where there is no value every comparison is false, `!=` too; `!(... == 5)` is
then true. Limits are those of the contract: 64 conditions in all, 8 levels, 100 items of a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Final

from atlas.query.v1 import query_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from atlas_client.cel_syntax import Apply, Expression, Items, Literal, Name, Node, Select, parse
from atlas_client.errors import FilterError
from atlas_client.values import Scalar, to_message

__all__ = ["FilterError", "predicate_of"]

MAX_NODES: Final = 64
MAX_LEVELS: Final = 8
MAX_PARTS: Final = 16
MAX_OPERANDS: Final = 100
MAX_KEY_BYTES: Final = 512
MAX_TYPE_BYTES: Final = 128
LONGEST: Final = timedelta(days=36_500)

_OPERATORS: Final = {
    "_==_": pb.COMPARISON_OPERATOR_EQUAL,
    "_!=_": pb.COMPARISON_OPERATOR_NOT_EQUAL,
    "_<_": pb.COMPARISON_OPERATOR_LESS,
    "_<=_": pb.COMPARISON_OPERATOR_LESS_OR_EQUAL,
    "_>_": pb.COMPARISON_OPERATOR_GREATER,
    "_>=_": pb.COMPARISON_OPERATOR_GREATER_OR_EQUAL,
}
_MIRRORED: Final = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}
_INSTEAD: Final = {
    "endsWith": "only startsWith compares parts of text",
    "contains": "only startsWith compares parts of text",
    "matches": "only startsWith compares parts of text",
    "size": "the length of a value cannot be compared",
    "_?_:_": "write (a && b) || (!a && c)",
    "double": "write the number itself, such as 5.0",
    "int": "write the number itself, such as 5",
    "uint": "write the number itself, such as 5u",
    "duration": "a span stands inside silent_for() or within()",
    "within": "compare the value, or write exists(...)",
}
_SPAN_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(us|ms|s|m|h)")
_MICROSECONDS: Final = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def predicate_of(text: str) -> pb.Predicate:
    """Return the predicate that a CEL expression states. Raises FilterError: with place, and what to write instead."""
    expression = parse(text)
    predicate = _Compiler(expression).predicate(expression.root)
    nodes, levels = _size(predicate)
    if nodes > MAX_NODES:
        raise FilterError(f"the filter has {nodes} conditions; at most {MAX_NODES} are taken", 1, 1)
    if levels > MAX_LEVELS:
        raise FilterError(f"the filter is {levels} levels deep; at most {MAX_LEVELS} are taken", 1, 1)
    return predicate


class _Compiler:
    """One expression on its way to a predicate."""

    def __init__(self, expression: Expression) -> None:
        self._fault: Callable[[str, int], FilterError] = expression.fault
        # The checker has seen to the number of arguments.
        self._forms: Mapping[str, Callable[..., pb.Predicate | None]] = {
            "!_": lambda _, operand: pb.Predicate(negation=self.predicate(operand)),
            "@in": self._in,
            "startsWith": self._starts,
            "exists": self._exists,
            "silent_for": lambda _, span: pb.Predicate(silent_for=self._span(span)),
        }

    def predicate(self, node: Node) -> pb.Predicate:
        match node:
            case Apply("_&&_"):
                return _all_of([self.predicate(part) for part in _parts(node, "_&&_")])
            case Apply("_||_"):
                return _any_of([self.predicate(part) for part in _parts(node, "_||_")])
            case Apply(function, (left, right)) if function in _OPERATORS:
                return self._compared(node, function, left, right)
            case Apply(function, arguments) if function in self._forms:
                made = self._forms[function](node.at, *arguments)
            case Select(Name("attr"), key, True):
                made = pb.Predicate(has_attribute=self._key(key, node.at))
            case _:
                made = None
        if made is None:
            raise self._no_condition(node)
        return made

    def _starts(self, _: int, value: Node, start: Node) -> pb.Predicate | None:
        of = self._attribute(value)
        return None if of is None else _comparison(of, pb.COMPARISON_OPERATOR_STARTS_WITH, self._constant(start))

    def _exists(self, _: int, value: Node) -> pb.Predicate | None:
        of = self._attribute(value)
        return None if of is None else _comparison(of, pb.COMPARISON_OPERATOR_EXISTS)

    def _in(self, at: int, item: Node, of: Node) -> pb.Predicate | None:
        match item, of:
            case _, Items(items):
                return self._member(at, item, items)
            case Literal(str(key)), Name("attr"):
                return pb.Predicate(has_attribute=self._key(key, at))
            case _:
                return None

    def _no_condition(self, node: Node) -> FilterError:
        if isinstance(node, Literal):
            return self._fault("a constant is no condition; leave it out", node.at)
        within = isinstance(node, Apply) and node.function == "within"
        if not within and (of := self._attribute(node)) is not None:
            return self._fault(
                f'an attribute is no condition by itself; write attr["{of.attribute_key}"] == true', node.at
            )
        instead = _INSTEAD.get(node.function) if isinstance(node, Apply) else None
        known = (
            'conditions are comparisons of attr["key"] or asset_type with constants, has(), exists() and silent_for()'
        )
        return self._fault(instead or known, node.at)

    def _compared(self, node: Apply, function: str, left: Node, right: Node) -> pb.Predicate:
        if isinstance(left, Literal) and not isinstance(right, Literal):
            function, left, right = _MIRRORED[function], right, left
        if isinstance(left, Name) and left.name == "asset_type":
            return self._of_type(node, function, right)
        of = self._attribute(left)
        if of is None:
            raise self._fault('one side of a comparison must be attr["key"] or asset_type, as it is', node.at)
        return _comparison(of, _OPERATORS[function], self._constant(right))

    def _of_type(self, node: Apply, function: str, right: Node) -> pb.Predicate:
        if function not in ("_==_", "_!=_"):
            raise self._fault("asset_type is compared with ==, != and in", node.at)
        predicate = self._typed(right)
        return predicate if function == "_==_" else pb.Predicate(negation=predicate)

    def _typed(self, node: Node) -> pb.Predicate:
        name = self._constant(node)
        if not isinstance(name, str) or not 1 <= len(name.encode()) <= MAX_TYPE_BYTES:
            raise self._fault(f"an asset type is text of 1 to {MAX_TYPE_BYTES} bytes", node.at)
        return pb.Predicate(asset_type=name)

    def _member(self, at: int, item: Node, items: Sequence[Node]) -> pb.Predicate:
        if not 1 <= len(items) <= MAX_OPERANDS:
            raise self._fault(f"a list has 1 to {MAX_OPERANDS} items", at)
        if isinstance(item, Name) and item.name == "asset_type":
            return _any_of([self._typed(one) for one in items])
        of = self._attribute(item)
        if of is None:
            raise self._fault('before `in` stands attr["key"] or asset_type', at)
        of.operator = pb.COMPARISON_OPERATOR_IN
        of.operands.extend(to_message(self._constant(one)) for one in items)
        return pb.Predicate(comparison=of)

    def _attribute(self, node: Node) -> pb.Comparison | None:
        """Return a comparison that has the attribute, and how old it may be, and nothing else yet; None: it is none."""
        match node:
            case Select(Name("attr"), key, False) | Apply("_[_]", (Name("attr"), Literal(str(key)))):
                return pb.Comparison(attribute_key=self._key(key, node.at))
            case Apply("_[_]", (Name("attr"), other)):
                raise self._fault('a key is a constant text: attr["key"]', other.at)
            case Apply("within", (inner, span)) if (of := self._attribute(inner)) is not None:
                if of.HasField("within"):
                    raise self._fault("within() stands once; leave the wider one out", node.at)
                of.within.CopyFrom(self._span(span))
                return of
            case _:
                return None

    def _key(self, key: str, at: int) -> str:
        if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or "\0" in key:
            raise self._fault(f"an attribute key has 1 to {MAX_KEY_BYTES} bytes, none of them NUL", at)
        return key

    def _constant(self, node: Node) -> Scalar:
        if not isinstance(node, Literal):
            raise self._fault('a value is compared with a constant, such as 5, 5u, 5.0, "text" or true', node.at)
        if node.value is None:
            raise self._fault("null is no value; write has(attr.key) or !has(attr.key)", node.at)
        if isinstance(node.value, str) and "\0" in node.value:
            raise self._fault("text must not hold NUL", node.at)
        return node.value

    def _span(self, node: Node) -> Duration:
        match node:
            case Apply("duration", (Literal(str(text), at),)) | Literal(str(text), at):
                length = _microseconds(text)
            case _:
                raise self._fault('a span is a constant text, such as "24h"', node.at)
        if length is None or length > LONGEST // timedelta(microseconds=1):
            units = 'such as "24h", "1h30m" or "250ms", in units of h, m, s, ms and us'
            raise self._fault(f"{text!r} is no span; write one of 0 to {LONGEST.days * 24} hours {units}", at)
        seconds, rest = divmod(length, 1_000_000)
        return Duration(seconds=seconds, nanos=rest * 1000)


def _parts(node: Node, function: str) -> list[Node]:
    if isinstance(node, Apply) and node.function == function:
        return [part for argument in node.arguments for part in _parts(argument, function)]
    return [node]


def _all_of(parts: list[pb.Predicate]) -> pb.Predicate:
    if len(parts) > MAX_PARTS:
        return _all_of([_all_of(group) for group in _groups(parts)])
    return parts[0] if len(parts) == 1 else pb.Predicate(all_of=pb.AllOf(predicates=parts))


def _any_of(parts: list[pb.Predicate]) -> pb.Predicate:
    if len(parts) > MAX_PARTS:
        return _any_of([_any_of(group) for group in _groups(parts)])
    return parts[0] if len(parts) == 1 else pb.Predicate(any_of=pb.AnyOf(predicates=parts))


def _groups(parts: list[pb.Predicate]) -> list[list[pb.Predicate]]:
    return [parts[first : first + MAX_PARTS] for first in range(0, len(parts), MAX_PARTS)]


def _comparison(
    of: pb.Comparison, operator: pb.ComparisonOperator.ValueType, operand: Scalar | None = None
) -> pb.Predicate:
    of.operator = operator
    if operand is not None:
        of.operand.CopyFrom(to_message(operand))
    return pb.Predicate(comparison=of)


def _microseconds(text: str) -> int | None:
    """Return the length of a span, or None: it is none, or finer than a microsecond."""
    end, total = 0, Fraction(0)
    for part in _SPAN_PART.finditer(text):
        if part.start() != end:
            return None
        end, total = part.end(), total + Fraction(part[1]) * _MICROSECONDS[part[2]]
    return int(total) if end and end == len(text) and total.denominator == 1 else None


def _size(predicate: pb.Predicate) -> tuple[int, int]:
    """Return how many nodes a predicate has, and how many levels."""
    kind = predicate.WhichOneof("kind")
    inner: Sequence[pb.Predicate] = ()
    if kind == "negation":
        inner = [predicate.negation]
    elif kind in ("all_of", "any_of"):
        inner = getattr(predicate, kind).predicates
    sizes = [_size(part) for part in inner]
    return 1 + sum(nodes for nodes, _ in sizes), 1 + max((levels for _, levels in sizes), default=0)
