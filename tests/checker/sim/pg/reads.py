"""Statements of the query router. Row security lets through only the tenant that the probe has set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncpg import exceptions as pg
from checker.sim.pg.session import Backend, Rows, instant

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VALUES = ("value_int", "value_uint", "value_double", "value_bool", "value_text", "value_bytes")


def microseconds(at: datetime) -> int:
    return (at - _FIRST) // _MICROSECOND


def probe_primary(backend: Backend, tenant: str, timeout: str, _planned: str) -> Rows:
    server = backend.server
    _let_through(backend, tenant)
    return [
        {
            "system_identifier": server.cluster.system_identifier,
            "in_recovery": server.in_recovery,
            "timeline": None if server.in_recovery else server.timeline.number,
            "position": None if server.in_recovery else server.flush_lsn,
            "tenant_id": tenant,
            "statement_timeout": timeout,
        }
    ]


def probe_replica(backend: Backend, tenant: str, timeout: str, _planned: str) -> Rows:
    server = backend.server
    _let_through(backend, tenant)
    return [
        {
            "system_identifier": server.cluster.system_identifier,
            "in_recovery": server.in_recovery,
            "position": server.replayed_lsn,
            "receiver_streaming": None if server.receiver is None else server.receiver == "streaming",
            "receiver_timeline": server.receiver_timeline,
            "tenant_id": tenant,
            "statement_timeout": timeout,
        }
    ]


def _let_through(backend: Backend, tenant: str) -> None:
    if backend.transaction is not None:
        backend.transaction.locals["atlas.tenant_id"] = tenant


def _hidden(backend: Backend, tenant: int) -> bool:
    return backend.local("atlas.tenant_id") != str(tenant)


def flushed_position(backend: Backend) -> Rows:
    if backend.server.in_recovery:
        raise pg.ObjectNotInPrerequisiteStateError("recovery is in progress")
    return [{"position": backend.server.flush_lsn}]


def replayed_position(backend: Backend) -> Rows:
    return [{"position": backend.server.replayed_lsn}]


def entity_with_all_values(backend: Backend, tenant: int, entity: int, as_of: datetime, most: int) -> Rows:
    if _hidden(backend, tenant):
        return []
    store, snapshot = backend.timeline.store, backend.snapshot
    state = _state(backend, tenant, entity)
    if state is None:
        return []
    values = []
    for attribute in store.carried[tenant, entity]:
        row = _current(backend, tenant, entity, attribute, microseconds(as_of))
        text = store.text_of("attribute_keys", tenant, attribute, snapshot)
        if row is not None and text is not None:
            values.append((text, row))
    values.sort(key=lambda pair: pair[0].encode())
    return _state_rows(state, values[:most])


def entity_with_values(backend: Backend, tenant: int, entity: int, attributes: list[str], as_of: datetime) -> Rows:
    return entities_with_values(backend, tenant, entity - 1, entity, 1, attributes, as_of)


def entities_with_values(
    backend: Backend, tenant: int, above: int, through: int, most: int, attributes: list[str], as_of: datetime
) -> Rows:
    if _hidden(backend, tenant):
        return []
    store, snapshot, limit = backend.timeline.store, backend.snapshot, microseconds(as_of)
    wanted = [(text, store.id_of("attribute_keys", tenant, text, snapshot)) for text in sorted(set(attributes))]
    members = (through,) if through == above + 1 else sorted(store.members[tenant])
    rows: Rows = []
    found = 0
    for entity in members:
        state = _state(backend, tenant, entity) if above < entity <= through else None
        if state is None:
            continue
        if (found := found + 1) > most:
            break
        pairs = [
            (text, row)
            for text, attribute in wanted
            if attribute is not None and (row := _current(backend, tenant, entity, attribute, limit)) is not None
        ]
        rows += _state_rows(state, pairs)
    return rows


def _state(backend: Backend, tenant: int, entity: int) -> dict[str, Any] | None:
    cell = backend.timeline.store.entities.get((tenant, entity))
    row: dict[str, Any] | None = cell.at(backend.snapshot) if cell is not None else None
    return None if row is None or row["deleted"] else row


def _current(backend: Backend, tenant: int, entity: int, attribute: int, as_of: int) -> dict[str, Any] | None:
    store, snapshot = backend.timeline.store, backend.snapshot
    chain = store.history.get((tenant, entity, attribute))
    if chain is None:
        return None
    floor = store.floor(tenant, entity, attribute, snapshot)
    return next(chain.visible(snapshot, floor, -(1 << 62), as_of, descending=True), None)


def _state_rows(state: dict[str, Any], values: list[tuple[str, dict[str, Any]]]) -> Rows:
    head = {
        "entity_id": state["entity_id"],
        "entity_key": state["entity_key"],
        "created_at": instant(state["created_at"]),
        "asset_type": None,
    }
    if not values:
        return [{**head, "attribute_key": None, "source_type": None}]
    return [{**head, "attribute_key": text, **_observed(row)} for text, row in values]


def _observed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "source_type": None,
        "event_time": _FIRST + timedelta(microseconds=row["event_time"]),
        "value_type": row["value_type"],
        **{name: row[name] for name in _VALUES},
    }


def _history(backend: Backend, args: tuple[Any, ...], *, descending: bool) -> Rows:
    tenant, entity, text, start, end, most = args
    if _hidden(backend, tenant):
        return []
    rows = _between(backend, tenant, entity, text, microseconds(start), microseconds(end) - 1, descending=descending)
    return [_observed(row) for row, _ in zip(rows, range(most), strict=False)]


def _between(
    backend: Backend, tenant: int, entity: int, text: str, start: int, end: int, *, descending: bool
) -> Iterator[dict[str, Any]]:
    store, snapshot = backend.timeline.store, backend.snapshot
    attribute = store.id_of("attribute_keys", tenant, text, snapshot)
    chain = store.history.get((tenant, entity, attribute)) if attribute is not None else None
    if chain is None or attribute is None:
        return iter(())
    floor = store.floor(tenant, entity, attribute, snapshot)
    return chain.visible(snapshot, floor, start, end, descending=descending)


def history_oldest_first(backend: Backend, *args: Any) -> Rows:
    return _history(backend, args, descending=False)


def history_newest_first(backend: Backend, *args: Any) -> Rows:
    return _history(backend, args, descending=True)


def aggregate_attribute(
    backend: Backend, tenant: int, text: str, start: datetime, end: datetime, by_entity: bool, width: Any, *_: Any
) -> Rows:
    """Integers only; one group, or one for each entity."""
    if _hidden(backend, tenant):
        return []
    bounds = microseconds(start), microseconds(end) - 1
    groups: dict[int, list[int]] = {}
    for entity in backend.timeline.store.members[tenant]:
        if _state(backend, tenant, entity) is not None:
            values = [row["value_int"] for row in _between(backend, tenant, entity, text, *bounds, descending=False)]
            if values:
                groups.setdefault(entity if by_entity else -1, []).extend(values)
    return [_figures(group, values) for group, values in sorted(groups.items())]


def _figures(group: int, values: list[int]) -> dict[str, Any]:
    return {
        "entity_id": group,
        "bucket": -1,
        "count": len(values),
        "integers": len(values),
        "doubles": 0,
        "min_int": min(values),
        "max_int": max(values),
        "min_uint": None,
        "max_uint": None,
        "min_double": None,
        "max_double": None,
        "integer_sum": sum(values),
        "double_sum": 0.0,
    }


HANDLERS: dict[str, Callable[..., Any]] = {
    "probe_primary": probe_primary,
    "probe_replica": probe_replica,
    "flushed_position": flushed_position,
    "replayed_position": replayed_position,
    "entity_with_all_values": entity_with_all_values,
    "entity_with_values": entity_with_values,
    "entities_with_values": entities_with_values,
    "history_oldest_first": history_oldest_first,
    "history_newest_first": history_newest_first,
    "aggregate_attribute": aggregate_attribute,
}
