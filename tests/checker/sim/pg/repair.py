"""Statements of a repair. Rows come in the form of the connector's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from checker.sim.connector import text_of, value_fields, wall_text
from checker.sim.pg.session import Backend, Rows

Row = dict[str, Any]


def _ledger(row: Row) -> Row:
    return {**row, "created_at": wall_text(row["created_at"])}


def _ledger_rows(backend: Backend) -> Iterator[Row]:
    for cell in backend.timeline.store.ledger.values():
        row = cell.at(backend.snapshot)
        if row is not None:
            yield row


def ledger_of_writer(backend: Backend, writer: int, first: int, last: int, most: int) -> Rows:
    found = [row for row in _ledger_rows(backend) if row["writer"] == writer and first <= row["sequence"] <= last]
    return [_ledger(row) for row in sorted(found, key=lambda row: row["sequence"])[:most]]


def ledger_of_transactions(backend: Backend, versions: list[int]) -> Rows:
    wanted = set(versions)
    return [_ledger(row) for row in _ledger_rows(backend) if row["row_version"] in wanted]


def surviving_transactions(backend: Backend, first: int, last: int) -> Rows:
    keys = sorted(row["row_version"] >> 17 for row in _ledger_rows(backend))
    before = range(first, min(last, keys[0] - 1) + 1) if keys else range(0)
    return [{"key": key} for key in (*before, *(key for key in keys if first <= key <= last))]


def last_sequences(backend: Backend) -> Rows:
    found = ((writer, cell.at(backend.snapshot)) for writer, cell in backend.timeline.store.writers.items())
    return [{"writer": writer, "last_sequence": last} for writer, last in found if last is not None]


async def retire_writers(backend: Backend, writers: list[int], sequences: list[int]) -> Rows:
    """Take out of the vector the writers that are proven to their end and whose sessions are gone."""
    retired: Rows = []
    for writer, sequence in zip(writers, sequences, strict=True):
        await backend.lock(("writer", writer))
        store = backend.timeline.store
        if store.writers[writer].at(backend.server.visible) != sequence:
            continue
        if store.sessions.get(writer) not in backend.server.backends:
            backend.change("ingest_writers", {"writer": writer, "last_sequence": None, "backend": None})
            retired.append({"writer": writer})
    return retired


def _event(row: Row) -> Row:
    return {**row, **value_fields(row), "created_at": wall_text(row["created_at"])}


def _history(backend: Backend) -> Iterator[Row]:
    for chain in backend.timeline.store.history.values():
        for versions in chain.by_time.values():
            for number, row in versions:
                if number <= backend.snapshot:
                    yield row


def rows_of_identities(
    backend: Backend, tenants: list[int], entities: list[int], keys: list[str], times: list[int]
) -> Rows:
    store, snapshot, rows = backend.timeline.store, backend.snapshot, list[Row]()
    for tenant, entity, key, time in zip(tenants, entities, keys, times, strict=True):
        attribute = store.id_of("attribute_keys", tenant, key, snapshot) if key else 0
        chain = store.history.get((tenant, entity, attribute)) if attribute is not None else None
        versions = chain.by_time.get(time, []) if chain is not None else []
        rows += [_event(row) for number, row in versions if number <= snapshot]
    return rows


def entity_attributes_of_transactions(backend: Backend, first: int, beyond: int, shard: int, keys: list[int]) -> Rows:
    by_transaction = backend.timeline.store.by_transaction
    return [
        _event(row)
        for key in sorted(keys)
        for number, _, row in by_transaction.get(key, [])
        if number <= backend.snapshot and first <= row["row_version"] < beyond and row["shard"] == shard
    ]


def entity_attributes_page(
    backend: Backend, shard: int, tenant: int, entity: int, attribute: int, time: str, version: int, most: int
) -> Rows:
    after = (tenant, entity, attribute, "" if time == "-infinity" else time, version)

    def place(row: Row) -> tuple[Any, ...]:
        return (
            row["tenant_id"],
            row["entity_id"],
            row["attribute_id"],
            _sortable(row["event_time"]),
            row["row_version"],
        )

    rows = sorted((row for row in _history(backend) if row["shard"] == shard), key=place)
    events = ({**_event(row), "event_time": _sortable(row["event_time"])} for row in rows if place(row) > after)
    return [event for event, _ in zip(events, range(most), strict=False)]


def _sortable(microseconds: int) -> str:
    # Of one width, so that texts are in the order of the times.
    text = text_of(microseconds)
    whole, _, rest = text.removesuffix("Z").partition(".")
    return f"{whole}.{rest:0<6}Z"


def entities_page(backend: Backend, shard: int, tenant: int, entity: int, most: int) -> Rows:
    rows = []
    for key in sorted(backend.timeline.store.entities):
        row = backend.timeline.store.entities[key].at(backend.snapshot)
        if row is not None and row["shard"] == shard and key > (tenant, entity):
            times = {"created_at": wall_text(row["created_at"]), "updated_at": wall_text(row["updated_at"])}
            rows.append({**row, **times})
    return rows[:most]


def entity_hot_attributes_page(backend: Backend, shard: int, tenant: int, entity: int, most: int) -> Rows:
    return []


_NAMES = {"attribute_keys": ("attribute_id", "attribute_key"), "asset_types": ("asset_type_id", "asset_type")}


def _terms(backend: Backend, kind: str) -> Iterator[Row]:
    number, text = _NAMES[kind]
    for commit in backend.timeline.commits[: backend.snapshot]:
        for table, row in commit.changes:
            if table == "terms" and row["kind"] == kind:
                event = {"tenant_id": row["tenant_id"], number: row["id"], text: row["text"], "shard": 0}
                yield {**event, "row_version": row["row_version"]}


def _terms_of_transactions(kind: str) -> Callable[..., Rows]:
    def find(backend: Backend, first: int, beyond: int, shard: int, keys: list[int]) -> Rows:
        found = (row for row in _terms(backend, kind) if first <= row["row_version"] < beyond)
        return [row for row in found if row["shard"] == shard and row["row_version"] >> 17 in keys]

    return find


def _terms_page(kind: str) -> Callable[..., Rows]:
    number = _NAMES[kind][0]

    def page(backend: Backend, shard: int, tenant: int, term: int, most: int) -> Rows:
        rows = sorted(_terms(backend, kind), key=lambda row: (row["tenant_id"], row[number]))
        after = (tenant, term)
        return [row for row in rows if (row["tenant_id"], row[number]) > after and row["shard"] == shard][:most]

    return page


HANDLERS: dict[str, Callable[..., Any]] = {
    "ledger_of_writer": ledger_of_writer,
    "ledger_of_transactions": ledger_of_transactions,
    "surviving_transactions": surviving_transactions,
    "last_sequences": last_sequences,
    "retire_writers": retire_writers,
    "rows_of_identities": rows_of_identities,
    "entity_attributes_of_transactions": entity_attributes_of_transactions,
    "attribute_keys_of_transactions": _terms_of_transactions("attribute_keys"),
    "asset_types_of_transactions": _terms_of_transactions("asset_types"),
    "entity_attributes_page": entity_attributes_page,
    "entities_page": entities_page,
    "entity_hot_attributes_page": entity_hot_attributes_page,
    "attribute_keys_page": _terms_page("attribute_keys"),
    "asset_types_page": _terms_page("asset_types"),
}
