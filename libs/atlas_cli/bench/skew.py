"""How load is spread over tenants, attributes and types: as in the four public sets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("skew.json")


@dataclass(frozen=True, slots=True)
class TenantShape:
    """One tenant of the sets: its part of all values, entities, keys, and how many values it has of each type."""

    origin: str
    share: float
    entities: int
    keys: int
    types: tuple[int, ...]


def tenant_shapes(count: int) -> list[TenantShape]:
    """Return the shapes of `count` tenants, the largest first; their shares make 1. Beyond 52 they repeat."""
    rows = json.loads(_FILE.read_text("utf-8"))["tenants"]
    chosen = [rows[number % len(rows)] for number in range(count)]
    total = sum(values for _, values, *_ in chosen)
    return [
        TenantShape(origin, values / total, entities, keys, tuple(types))
        for origin, values, entities, keys, types in chosen
    ]
