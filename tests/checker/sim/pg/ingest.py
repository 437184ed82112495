"""Statements of the writers, of the dictionaries and about tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncpg import exceptions as pg
from checker.sim.pg import small_groups
from checker.sim.pg.session import Backend, Rows, instant, numbers_of, store_requests


def server_identity(backend: Backend) -> Rows:
    server = backend.server
    return [
        {
            "system_identifier": server.cluster.system_identifier,
            "in_recovery": server.in_recovery,
            "timeline": None if server.in_recovery else f"{server.timeline.number:08X}",
            "synchronous_commit": server.cluster.settings["synchronous_commit"],
        }
    ]


def epoch_of(backend: Backend, system: int, timeline: int) -> Rows:
    return [
        {"epoch": row["epoch"]}
        for row in backend.timeline.store.registered(backend.snapshot)
        if (row["system_identifier"], row["timeline"]) == (system, timeline) and row["withdrawn_because"] is None
    ]


def register_writer(backend: Backend, epoch: int) -> Rows:
    writer = epoch << 48 | backend.server.nextval("ingest_writer")
    backend.change("ingest_writers", {"writer": writer, "last_sequence": 0, "backend": backend.number})
    return [{"writer": writer}]


def reserve_transaction(backend: Backend) -> Rows:
    if backend.server.in_recovery:
        raise pg.ReadOnlySQLTransactionError("cannot execute nextval() in a read-only transaction")
    return [{"nextval": backend.server.nextval("ingest_transaction")}]


async def open_transaction(
    backend: Backend, timeout: str, tenants: list[int], erases: list[bool], asked: list[int], requests: list[Any]
) -> Rows:
    alone: dict[int, bool] = {}
    for tenant, erasing in zip(tenants, erases, strict=True):
        alone[tenant % 64] = alone.get(tenant % 64, False) or erasing
    snapshot = backend.snapshot  # of the statement: what commits while it waits for locks is not seen
    for key in sorted(alone):
        await backend.lock(("tenant", key), shared=not alone[key])
    assert backend.transaction is not None
    head = {
        "began": instant(backend.transaction.began),
        "numbers": numbers_of(backend, sorted({tenant % 64 for tenant in tenants}), snapshot),
        "catalogues": _catalogues(sorted({tenant % 64 for tenant in tenants})),
    }
    rows: Rows = []
    for tenant, request in zip(asked, requests, strict=True):
        found = backend.timeline.store.requests.get((tenant, request.bytes))
        if found is not None and found[0] <= snapshot:
            rows.append({**head, "tenant_id": tenant, "request_id": request, "digest": found[1], "result": found[2]})
    return rows or [{**head, "tenant_id": None, "request_id": None, "digest": None, "result": None}]


def create_stage(backend: Backend) -> Rows:
    return []


def insert_staged(backend: Backend) -> Rows:
    rows, backend.staged = backend.staged, []
    return small_groups.append_history(backend, rows)


async def close_transaction(
    backend: Backend,
    tenants: list[int],
    requests: list[Any],
    digests: list[bytes],
    results: list[bytes],
    slots: list[int],
    writer: int,
    sequence: int,
    transaction: int,
    version: int,
    entries: str,
    traceparents: str,
) -> Rows:
    assert backend.transaction is not None
    stored = await store_requests(backend, tenants, requests, digests, results)
    await backend.lock(("writer", writer))
    last = backend.timeline.store.writers[writer].at(backend.server.visible)
    advanced = int(last == sequence - 1)
    row = {
        "writer": writer,
        "sequence": sequence,
        "transaction_number": transaction,
        "shard": 0,
        "row_version": version,
        "entries": entries,
        "traceparents": traceparents,
        "created_at": backend.transaction.began,
    }
    backend.change("ingest_batches", row)
    if advanced:
        backend.change("ingest_writers", {"writer": writer, "last_sequence": sequence, "backend": backend.number})
    numbers = numbers_of(backend, slots, backend.snapshot)
    catalogues = _catalogues(slots)
    return [{"advanced": advanced, "stored": stored, "numbers": numbers, "catalogues": catalogues, "set_config": "0"}]


async def close_without_ledger(
    backend: Backend,
    tenants: list[int],
    requests: list[Any],
    digests: list[bytes],
    results: list[bytes],
    slots: list[int],
) -> Rows:
    stored = await store_requests(backend, tenants, requests, digests, results)
    numbers = numbers_of(backend, slots, backend.snapshot)
    return [{"advanced": 1, "stored": stored, "numbers": numbers, "catalogues": _catalogues(slots), "set_config": "0"}]


def _catalogues(slots: list[int]) -> list[int] | None:
    # Nothing is promoted here.
    return [0] * len(slots) or None


def hot_mappings(backend: Backend, tenants: list[int]) -> Rows:
    return []


def hot_backfills_left(backend: Backend) -> Rows:
    return []


def flushed(backend: Backend) -> Rows:
    if backend.server.in_recovery:
        raise pg.ObjectNotInPrerequisiteStateError("recovery is in progress")
    return [{"flushed": backend.server.flush_lsn}]


def find_entities(backend: Backend, tenants: list[int], entities: list[int], shards: list[int]) -> Rows:
    rows: Rows = []
    own = {} if backend.transaction is None else backend.transaction.entities
    for key in zip(tenants, entities, strict=True):
        cell = backend.timeline.store.entities.get(key)
        row = own.get(key) or (cell.at(backend.snapshot) if cell is not None else None)
        if row is not None:
            rows.append(row)
    return rows


async def upsert_entities(
    backend: Backend,
    tenants: list[int],
    entities: list[int],
    shards: list[int],
    keys: list[str | None],
    assets: list[int | None],
    versions: list[int],
    gone: list[bool],
) -> Rows:
    assert backend.transaction is not None
    changed: Rows = []
    updated: set[int] = set()
    columns = zip(tenants, entities, shards, keys, assets, versions, gone, strict=True)
    for tenant, entity, shard, key, asset, version, deleted in columns:
        await backend.lock(("entity", tenant, entity))
        cell = backend.timeline.store.entities.get((tenant, entity))
        old = backend.transaction.entities.get((tenant, entity)) or (cell.at(backend.server.visible) if cell else None)
        if old is not None and not _replaces(backend, old, key, version, deleted=deleted):
            continue
        row = {
            "tenant_id": tenant,
            "entity_id": entity,
            "shard": shard,
            "entity_key": key,
            "asset_type_id": asset if old is None or asset is not None else old["asset_type_id"],
            "created_at": backend.transaction.began if old is None else old["created_at"],
            "updated_at": backend.transaction.began,
            "row_version": version,
            "deleted": deleted,
        }
        backend.transaction.entities[tenant, entity] = row
        backend.change("entities", row)
        updated |= {tenant % 64} if old is not None else set()
        changed.append({"shard": shard, "row_version": version})
    for slot in sorted(updated):
        await backend.lock(("slot", slot))
        backend.change("entity_changes", slot)
    return changed


def _replaces(backend: Backend, old: dict[str, Any], key: str | None, version: int, *, deleted: bool) -> bool:
    if old["row_version"] >= version or old["entity_key"] != key:
        return False
    if not deleted:
        return True
    store, tenant, entity = backend.timeline.store, old["tenant_id"], old["entity_id"]
    for attribute in store.carried[tenant, entity]:
        for rows in store.history[tenant, entity, attribute].by_time.values():
            for number, row in rows:
                if number <= backend.snapshot and row["row_version"] > version and row["deletion"] == 0:
                    return False
    return True


# -- dictionaries -----------------------------------------------------------------------------------------------------


def _finder(kind: str, *, shared: bool = False) -> Callable[..., Rows]:
    def find(backend: Backend, *args: Any) -> Rows:
        tenant, texts = (0, args[0]) if shared else args
        found = ((text, backend.timeline.store.id_of(kind, tenant, text, backend.snapshot)) for text in texts)
        return [{"text": text, "id": number} for text, number in found if number is not None]

    return find


async def lock_dictionary(backend: Backend, tenant: int) -> Rows:
    await backend.lock(("dictionary", tenant))
    return [{"lock": None}]


def count_attribute_keys(backend: Backend, tenant: int, last: int) -> Rows:
    added = [
        term
        for number, term in backend.timeline.store.terms["attribute_keys", tenant]
        if number <= backend.snapshot and term > last
    ]
    return [{"added": len(added), "last_id": max(added, default=last)}]


def key_quota(backend: Backend, tenant: int) -> Rows:
    return [{"key_quota": backend.timeline.store.tenants[tenant]["key_quota"]}]


def _inserter(kind: str) -> Callable[..., Rows]:
    def insert(backend: Backend, tenant: int, texts: list[str], versions: list[int]) -> Rows:
        rows: Rows = []
        for text, version in zip(texts, versions, strict=True):
            number = backend.server.nextval(kind)
            backend.change(
                "terms", {"kind": kind, "tenant_id": tenant, "id": number, "text": text, "row_version": version}
            )
            rows.append({"text": text, "id": number, "row_version": version})
        return rows

    return insert


async def insert_key_types(backend: Backend, tenants: list[int], attributes: list[int], kinds: list[int]) -> Rows:
    for tenant, attribute, kind in zip(tenants, attributes, kinds, strict=True):
        await backend.lock(("key_type", tenant, attribute, kind))
        if (tenant, attribute, kind) not in backend.timeline.store.key_types:
            backend.change("key_types", {"tenant_id": tenant, "attribute_id": attribute, "value_type": kind})
    return []


def find_tenant(backend: Backend, tenant: int) -> Rows:
    found = backend.timeline.store.tenants.get(tenant)
    return [] if found is None else [found]


HANDLERS: dict[str, Callable[..., Any]] = {
    "server_identity": server_identity,
    "epoch_of": epoch_of,
    "register_writer": register_writer,
    "reserve_transaction": reserve_transaction,
    "open_transaction": open_transaction,
    "create_stage": create_stage,
    "insert_staged": insert_staged,
    "close_transaction": close_transaction,
    "close_without_ledger": close_without_ledger,
    "commit_small_group": small_groups.commit_small_group,
    "flushed": flushed,
    "find_entities": find_entities,
    "upsert_entities": upsert_entities,
    "find_attribute_keys": _finder("attribute_keys"),
    "find_asset_types": _finder("asset_types"),
    "find_source_types": _finder("source_types", shared=True),
    "lock_dictionary": lock_dictionary,
    "count_attribute_keys": count_attribute_keys,
    "key_quota": key_quota,
    "insert_attribute_keys": _inserter("attribute_keys"),
    "insert_asset_types": _inserter("asset_types"),
    "insert_key_types": insert_key_types,
    "find_tenant": find_tenant,
    "hot_mappings": hot_mappings,
    "hot_backfills_left": hot_backfills_left,
}
