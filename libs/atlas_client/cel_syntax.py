"""CEL expressions as trees: parsed and type-checked by the reference implementation, each node with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from atlas_client.errors import FilterError
from atlas_client.values import Scalar, Uint64

MAX_LENGTH: Final = 65_536  # characters of one expression


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; None for null."""

    value: Scalar | None
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Select:
    """A field of something, or with `tested` whether it is there."""

    operand: Node
    field: str
    tested: bool
    at: int


@dataclass(frozen=True, slots=True)
class Apply:
    """A function or an operator; a method has its object as the first of `arguments`."""

    function: str
    arguments: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Other:
    """What the language has and no filter uses: maps, messages, comprehensions."""

    kind: str
    at: int


# `at` of a node is its place in the expression in characters from 0.
Node: TypeAlias = Literal | Name | Select | Apply | Items | Other


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression."""

    root: Node
    text: str

    def fault(self, problem: str, at: int) -> FilterError:
        """Return the error about the node at a place."""
        before = self.text[:at]
        return FilterError(problem, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)


def parse(text: str) -> Expression:
    """Return an expression over `attr` and `asset_type` that is well-formed and well-typed. Raises FilterError."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter is longer than {MAX_LENGTH} characters", 1, MAX_LENGTH + 1)
    try:
        octets = _environment().compile(text).serialize()
    except (RuntimeError, UnicodeError) as refused:
        raise _translated(str(refused)) from None
    packed, checked = AnyMessage(), _checked_expression()()
    try:
        packed.ParseFromString(octets)
        checked.ParseFromString(packed.value)
        places = {place.key: place.value for place in checked.source_info.places}
        return Expression(_node(checked.expr, places), text)
    except DecodeError:
        raise FilterError("the filter is nested too deeply; at most 8 levels are taken", 1, 1) from None


@cache
def _environment() -> Any:
    kind = cel.Type

    def method(name: str) -> Any:
        shapes = [cel.Overload(f"{name}_{span.name()}", kind.DYN, [kind.DYN, span], is_member=True) for span in spans]
        return cel.FunctionDecl(name, shapes)

    spans = (kind.STRING, kind.DURATION)
    silent = [cel.Overload(f"silent_for_{span.name()}", kind.BOOL, [span]) for span in spans]
    functions = [
        method("within"),
        cel.FunctionDecl("exists", [cel.Overload("exists_dyn", kind.BOOL, [kind.DYN])]),
        cel.FunctionDecl("silent_for", silent),
    ]
    variables = {"attr": kind.Map(kind.STRING, kind.DYN), "asset_type": kind.STRING}
    return cel.NewEnv(variables=variables, functions=functions)


# What an expression is serialized as: the published numbers of the fields that are read here. A kind of node that is
# not named here is none of the known ones, and so is refused.
_FIELDS: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "Constant": (("null_value", 1, "int32"), ("bool_value", 2, "bool"), ("int64_value", 3, "int64"),
                 ("uint64_value", 4, "uint64"), ("double_value", 5, "double"), ("string_value", 6, "string"),
                 ("bytes_value", 7, "bytes")),
    "Ident": (("name", 1, "string"),),
    "SelectOf": (("operand", 1, "Expr"), ("field", 2, "string"), ("test_only", 3, "bool")),
    "Call": (("target", 1, "Expr"), ("function", 2, "string"), ("args", 3, "*Expr")),
    "List": (("elements", 1, "*Expr"), ("optional_indices", 2, "*int32")),
    "Expr": (("id", 2, "int64"), ("const_expr", 3, "Constant"), ("ident_expr", 4, "Ident"),
             ("select_expr", 5, "SelectOf"), ("call_expr", 6, "Call"), ("list_expr", 7, "List")),
    "Position": (("key", 1, "int64"), ("value", 2, "int32")),
    "SourceInfo": (("places", 4, "*Position"),),
    "Checked": (("expr", 4, "Expr"), ("source_info", 5, "SourceInfo")),
}  # fmt: skip
_ONE_OF: Final = {"Constant", "Expr"}


@cache
def _checked_expression() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="atlas_client/cel.proto", package="atlas.cel", syntax="proto3")
    for message_name, fields in _FIELDS.items():
        message = file.message_type.add(name=message_name)
        if message_name in _ONE_OF:
            message.oneof_decl.add(name="kind")
        for name, number, kind in fields:
            _add_field(message, name, number, kind)
    pool = descriptor_pool.DescriptorPool()  # of its own: nothing here meets the names of another library
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("atlas.cel.Checked"))


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
    shape = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=number)
    field.label = shape.LABEL_REPEATED if kind.startswith("*") else shape.LABEL_OPTIONAL
    of = kind.removeprefix("*")
    if of in _FIELDS:
        field.type, field.type_name = shape.TYPE_MESSAGE, f".atlas.cel.{of}"
    else:
        field.type = shape.Type.Value(f"TYPE_{of.upper()}")
    if message.name in _ONE_OF and name != "id":
        field.oneof_index = 0


def _node(message: Any, places: Mapping[int, int]) -> Node:
    at = places.get(message.id, 0)
    match message.WhichOneof("kind"):
        case "const_expr":
            return _literal(message.const_expr, at)
        case "ident_expr":
            return Name(message.ident_expr.name.removeprefix("."), at)
        case "select_expr":
            select = message.select_expr
            return Select(_node(select.operand, places), select.field, select.test_only, at)
        case "call_expr":
            called = message.call_expr
            parts = [*([called.target] if called.HasField("target") else []), *called.args]
            return Apply(called.function, tuple(_node(part, places) for part in parts), at)
        case "list_expr" if not message.list_expr.optional_indices:
            return Items(tuple(_node(item, places) for item in message.list_expr.elements), at)
        case _:
            return Other("a map, a message or a loop", at)


def _literal(constant: Any, at: int) -> Node:
    kind = constant.WhichOneof("kind")
    match kind:
        case "null_value":
            return Literal(None, at)
        case "uint64_value":
            return Literal(Uint64(constant.uint64_value), at)
        case None:
            return Other("a constant of this kind", at)
        case _:
            return Literal(getattr(constant, kind), at)


_FAULT: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
# What is often meant by what the language refuses.
_ADVICE: Final = (
    (re.compile(r"undeclared reference to '(attr|asset_type|silent_for|exists|within)'"), ""),
    (re.compile(r"undeclared reference to '([^']+)'"), 'for an attribute write attr["{0}"]'),
    (re.compile(r"token recognition error at: '=|extraneous input '='|mismatched input '='"), "for equal write =="),
    (re.compile(r"(?:mismatched|extraneous) input '(?i:and)'"), "write &&"),
    (re.compile(r"(?:mismatched|extraneous) input '(?i:or)'"), "write ||"),
    (re.compile(r"(?:mismatched|extraneous) input '(?i:not)'"), "write !(...)"),
    (re.compile(r"invalid int literal"), "a whole number above 9223372036854775807 ends with u"),
    (re.compile(r"applied to '\(map\(string, dyn\), (?!string)"), 'a key stands in quotes: attr["key"]'),
    (re.compile(r"'silent_for' applied"), 'write silent_for("24h")'),
    (re.compile(r"'within' applied"), 'write attr["key"].within("1h")'),
)


def _translated(refusal: str) -> FilterError:
    """Return the first fault that the parser or the checker named, and what to write instead where that is known."""
    found = _FAULT.search(refusal)
    if found is None:
        return FilterError(refusal.partition("\n")[0], 1, 1)
    line, column, problem = int(found[1]), int(found[2]), found[3].partition(" [INVALID_ARGUMENT]")[0]
    problem = problem.partition(" (in container")[0].partition(" expecting {")[0]
    for pattern, advice in _ADVICE:
        if (seen := pattern.search(problem)) is not None:
            return FilterError(f"{problem}; {advice.format(*seen.groups())}" if advice else problem, line, column)
    return FilterError(problem, line, column)
