"""The rules in CEL that stand in a CustomResourceDefinition, evaluated as an API server does when an object is made."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

RULES = "x-kubernetes-validations"
# Words that CEL keeps for itself, and parts of names that it has no room for: a rule writes them escaped.
RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))


def rules_of(schema: Any) -> Iterator[str]:
    """Yield every rule below a schema that says something about a new object."""
    if isinstance(schema, list):
        for each in schema:
            yield from rules_of(each)
    elif isinstance(schema, dict):
        yield from (each["rule"] for each in own(schema))
        for name, each in schema.items():
            if name != RULES:
                yield from rules_of(each)


def own(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rules of this very node, but those that compare with what was there before."""
    found = schema.get(RULES)
    return [each for each in found if "oldSelf" not in each["rule"]] if isinstance(found, list) else []


def defaulted(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the value with the defaults of its schema, which an API server fills in before it looks at rules."""
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        filled = {name: each["default"] for name, each in known.items() if "default" in each} | value
        return {
            name: defaulted(each, known.get(name, rest if isinstance(rest, dict) else {}))
            for name, each in filled.items()
        }
    if isinstance(value, list):
        return [defaulted(each, schema.get("items", {})) for each in value]
    return value


def broken(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield where a rule does not hold in a value with its defaults, and what the rule is for."""
    for rule in own(schema):
        if not holds(rule["rule"], named(value, schema)):
            yield f"{path or '/'}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, each in value.items():
            inner = known.get(name, rest)
            if isinstance(inner, dict):
                yield from broken(each, inner, f"{path}/{name}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from broken(each, schema.get("items", {}), f"{path}/{place}")


def named(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the value with the names of its fields as rules write them; keys of a free map stay as they are."""
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        other = rest if isinstance(rest, dict) else {}
        return {
            escaped(name) if name in known else name: named(each, known.get(name, other))
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [named(each, schema.get("items", {})) for each in value]
    return value


def escaped(name: str) -> str:
    """Return a field's name as a rule writes it."""
    if name in RESERVED:
        return f"__{name}__"
    for part, instead in ESCAPES:
        name = name.replace(part, instead)
    return name


@functools.cache
def _compiled(rule: str) -> Any:
    environment = cel.NewEnv(variables={"self": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()])
    return environment.compile(rule)


def holds(rule: str, value: Any) -> bool:
    """Tell whether a rule is true of a value. Raises what CEL raises for a rule that it cannot read."""
    return _compiled(rule).eval(data={"self": value}).value() is True
