"""Names in the expressions of alarms and panels: which metrics they read, by which labels."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Enough of PromQL to find the names: strings, braces, spans, words. What is no operator or function is a metric.
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[{}(),]|=~|!~|!=|=|\d+(?:\.\d+)?(?:e\d+)?|[A-Za-z_:][A-Za-z0-9_:]*|\S'
)
GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
WORDS = frozenset({"and", "or", "unless", "bool", "offset"})


@dataclass(frozen=True)
class Expression:
    """What an expression names: metrics with the labels they are matched by, and the labels that it groups by."""

    metrics: dict[str, dict[str, str]]
    grouped: frozenset[str]


def read(text: str) -> Expression:
    """Return the names in an expression of PromQL."""
    tokens = _TOKEN.findall(text)
    metrics: dict[str, dict[str, str]] = {}
    grouped: set[str] = set()
    place = 0
    while place < len(tokens):
        token, following = tokens[place], tokens[place + 1] if place + 1 < len(tokens) else ""
        place += 1
        if not re.fullmatch(r"[A-Za-z_:][A-Za-z0-9_:]*", token) or token in WORDS:
            continue
        if token in GROUPING:
            end = tokens.index(")", place)
            grouped |= {word for word in tokens[place:end] if word not in "(,"}
            place = end + 1
        elif following == "{":
            end = tokens.index("}", place)
            inside = [word for word in tokens[place + 1 : end] if word != ","]
            metrics.setdefault(token, {}).update(
                zip(inside[::3], [word.strip('"') for word in inside[2::3]], strict=True)
            )
            place = end + 1
        elif following != "(" and following not in GROUPING:
            metrics.setdefault(token, {})
    return Expression(metrics, frozenset(grouped))
