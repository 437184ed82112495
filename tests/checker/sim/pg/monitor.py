"""Statements of the lag monitor."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from asyncpg import exceptions as pg
from checker.sim.pg.session import Backend, Rows

SPREAD_TABLES = ("entities", "entity_hot_attributes", "entity_attributes")
SINGLE_TABLES = ("attribute_keys", "asset_types")
PUBLISHED = (*SPREAD_TABLES, *SINGLE_TABLES, "ingest_batches")


def look_at_primary(backend: Backend) -> Rows:
    server, settings = backend.server, backend.server.cluster.settings
    standby = server.in_recovery
    return [
        {
            "in_recovery": standby,
            "flushed": None if standby else server.flush_lsn,
            "timeline": None if standby else f"{server.timeline.number:08X}",
            "system_identifier": server.cluster.system_identifier,
            "synchronous_commit": settings["synchronous_commit"],
            "has_synchronous_standbys": bool(server.synchronous),
            "fsync": settings["fsync"],
            "full_page_writes": True,
            "synchronous_commit_elsewhere": [],
        }
    ]


def look_at_replica(backend: Backend) -> Rows:
    server = backend.server
    return [
        {
            "in_recovery": server.in_recovery,
            "replayed": server.replayed_lsn,
            "system_identifier": server.cluster.system_identifier,
            "status": server.receiver,
            "received_tli": server.receiver_timeline,
        }
    ]


def take_place(backend: Backend, kind: int) -> Rows:
    places = backend.server.places
    for place in range(8):
        if places.get((kind, place)) in (None, backend):
            places[kind, place] = backend
            return [{"place": place}]
    return []


async def commit_beat(backend: Backend, place: int, monitor: UUID, beat: int, epoch: int, lsn: int) -> Rows:
    await backend.lock(("beat", place))
    snapshot = backend.snapshot
    vector = {
        str(writer): sequence
        for writer, cell in backend.timeline.store.writers.items()
        if (sequence := cell.at(snapshot)) is not None
    }
    row = {"place": place, "monitor": str(monitor), "beat": beat, "epoch": epoch, "lsn": lsn}
    backend.change("beats", {**row, "vector": json.dumps(vector)})
    return []


async def commit_primary_beat(backend: Backend, place: int, monitor: UUID, beat: int) -> Rows:
    await backend.lock(("primary_beat", place))
    backend.change("primary_beat", None)
    server = backend.server
    return [{"system_identifier": server.cluster.system_identifier, "timeline": f"{server.timeline.number:08X}"}]


def registered_epochs(backend: Backend) -> Rows:
    return backend.timeline.store.registered(backend.snapshot)


async def register_epoch(backend: Backend, epoch: int, system: int, timeline: int, name: str) -> Rows:
    server = backend.server
    if server.in_recovery:
        raise pg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction")
    await backend.lock(("epochs",))
    if server.cluster.system_identifier != system or f"{server.timeline.number:08X}" != name:
        return []
    taken = backend.timeline.store.registered(len(backend.timeline.commits))
    if all(
        row["epoch"] != epoch and (row["system_identifier"], row["timeline"]) != (system, timeline) for row in taken
    ):
        row = {"epoch": epoch, "system_identifier": system, "timeline": timeline}
        backend.change("epochs", {**row, "ancestors": None, "withdrawn_because": None})
    return []


async def _update_epoch(backend: Backend, epoch: int, column: str, value: str) -> Rows:
    await backend.lock(("epochs",))
    for row in backend.timeline.store.registered(backend.server.visible):
        if row["epoch"] == epoch and row[column] is None:
            backend.change("epochs", {**row, column: value})
    return []


async def store_ancestors(backend: Backend, epoch: int, ancestors: str) -> Rows:
    return await _update_epoch(backend, epoch, "ancestors", ancestors)


async def withdraw_epoch(backend: Backend, epoch: int, because: str) -> Rows:
    return await _update_epoch(backend, epoch, "withdrawn_because", because)


def timeline_history(backend: Backend, timeline: int) -> Rows:
    line = next((one for one in backend.server.cluster.timelines if one.number == timeline), None)
    if line is None or not line.ancestors:
        return [{"timeline_history": None}]
    lines = (
        f"{number}\t{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}\tno recovery target specified" for number, lsn in line.ancestors
    )
    return [{"timeline_history": "\n".join(lines)}]


def look_at_change_stream(backend: Backend, slot: str, publication: str) -> Rows:
    server, made = backend.server, backend.server.cluster.slot
    return [
        {
            "wal_level": "logical",
            "server_started": server.started,
            "present": made.present,
            "plugin": "pgoutput",
            "of_this_database": True,
            "wal_status": "reserved",
            "invalidation_reason": None,
            "confirmed": made.confirmed,
            "transactions": made.transactions,
            "statistics_reset": 0,
            "held_back": 0 if made.present else None,
            "whole_rows": True,
            "publication_as_made": True,
            "published": [f"{table}{end}" for table in PUBLISHED for end in ("", "_beat")],
        }
    ]


def known_change_stream(backend: Backend, slot: str) -> Rows:
    row = backend.timeline.store.streams[slot].at(backend.snapshot)
    return [] if row is None else [row]


async def remember_change_stream(
    backend: Backend, slot: str, started: int, reset: int, count: int, confirmed: int, why: str | None, generation: int
) -> Rows:
    await backend.lock(("change_stream", slot))
    known = backend.timeline.store.streams[slot].at(backend.server.visible)
    row = {
        "slot": slot,
        "generation": 1 if known is None else known["generation"],
        "server_started": started,
        "statistics_reset": reset,
        "transactions": count,
        "confirmed": confirmed,
        "broken_because": why,
    }
    if known is None or (known["broken_because"] is None and known["generation"] == generation):
        backend.change("change_streams", row)
    return []


HANDLERS: dict[str, Callable[..., Any]] = {
    "look_at_primary": look_at_primary,
    "look_at_replica": look_at_replica,
    "take_place": take_place,
    "commit_beat": commit_beat,
    "commit_primary_beat": commit_primary_beat,
    "registered_epochs": registered_epochs,
    "register_epoch": register_epoch,
    "store_ancestors": store_ancestors,
    "withdraw_epoch": withdraw_epoch,
    "timeline_history": timeline_history,
    "look_at_change_stream": look_at_change_stream,
    "known_change_stream": known_change_stream,
    "remember_change_stream": remember_change_stream,
}
