"""Statements of the sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from checker.sim.pg.session import Backend, Rows


def _texts(kind: str) -> Callable[..., Rows]:
    def find(backend: Backend, tenants: list[int], ids: list[int]) -> Rows:
        store, snapshot = backend.timeline.store, backend.snapshot
        found = ((t, n, store.text_of(kind, t, n, snapshot)) for t, n in zip(tenants, ids, strict=True))
        return [{"tenant_id": t, "term_id": n, "text": text} for t, n, text in found if text is not None]

    return find


def source_of_epoch(backend: Backend, epoch: int) -> Rows:
    return [row for row in backend.timeline.store.registered(backend.snapshot) if row["epoch"] == epoch]


HANDLERS: dict[str, Callable[..., Any]] = {
    "attribute_keys_by_id": _texts("attribute_keys"),
    "asset_types_by_id": _texts("asset_types"),
    "source_types_by_id": _texts("source_types"),
    "source_of_epoch": source_of_epoch,
}
