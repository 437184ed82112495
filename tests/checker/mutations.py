"""What the mutants put in the place of the product's own decisions. Nothing of this is ever used but by a mutant."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any
from unittest.mock import patch
from uuid import UUID

from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import Beat
from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.reading import PrimaryMode
from atlaskit.model import Source
from atlaskit.position import Token
from atlaskit.postgres.beats import BeatRow
from checker import history as h
from checker.sim.process import current
from checker.sim.run import Run

# The modules whose names are replaced. Any to the type checker: a name that a module only imports is none of its own.
monitor_evidence: Any = import_module("atlas_lag_monitor.evidence")
monitor_primary: Any = import_module("atlas_lag_monitor.primary")
inserting: Any = import_module("atlas_olap_sink.inserting")
sink_store: Any = import_module("atlas_olap_sink.store")
lag_board: Any = import_module("atlas_query_router.lag_board")
olap_backend: Any = import_module("atlas_query_router.olap_backend")
postgres_backends: Any = import_module("atlas_query_router.postgres_backends")
router: Any = import_module("atlas_query_router.router")
certificate: Any = import_module("atlaskit.freshness.certificate")
proofs: Any = import_module("atlaskit.freshness.proofs")
reading: Any = import_module("atlaskit.freshness.reading")
routing: Any = import_module("atlaskit.freshness.routing")
validation: Any = import_module("atlas_ingest.validation")
watermark: Any = import_module("atlaskit.clickhouse.watermark")
pg_writer: Any = import_module("atlaskit.postgres.writer")
engine_of: Any = import_module("checker.sim.clickhouse")


# -- replica


async def one_statement(self: Any, question: Any, call: Any, worth: Any) -> Any:
    reader_of = postgres_backends.reading
    async with reader_of(self._pool, call.tenant_ids, call.deadline.require("reading")) as reader:
        await reader.probe_replica()  # sets the tenant
        rows = await postgres_backends.answer(reader, call.tenant, question)
        probe = await reader.probe_replica()  # as a volatile function in the same statement: after its snapshot
        known = self._board.known()
        proof = None if known is None else proofs.prove_replica(known, probe)
        if not worth(proof):
            return postgres_backends.Reply(proof, answered=False)
        token = None if proof is None else Token(proof.epoch, await reader.replayed())
        return postgres_backends.Reply(proof, True, rows, token if call.want_session_token else None)


@contextmanager
def cached_position(_: Run) -> Iterator[None]:
    """The position of a poll serves all reads of the next two seconds, on whatever connection."""
    kept: list[tuple[float, Any]] = []

    def prove(known: Any, probe: Any) -> Any:
        now = asyncio.get_running_loop().time()
        if not kept or now - kept[-1][0] > 2.0:
            kept.append((now, probe))
        return proofs.prove_replica(known, kept[-1][1])

    with patch.object(postgres_backends, "prove_replica", prove):
        yield


@contextmanager
def position_of_another(run: Run) -> Iterator[None]:
    """The position of the primary stands for that of the replica."""
    real = proofs.prove_replica

    def prove(known: Any, probe: Any) -> Any:
        ahead = run.world.cluster.resolve("primary").flush_lsn
        return real(
            known, dataclasses.replace(probe, replayed=type(probe.replayed)(ahead)) if probe.replayed else probe
        )

    with patch.object(postgres_backends, "prove_replica", prove):
        yield


@contextmanager
def polled_lag(_: Run) -> Iterator[None]:
    """What the monitor polled last is claimed."""
    real = proofs.prove_replica

    def prove(known: Any, probe: Any) -> Any:
        lag, proof = known.copies.get(Source.REPLICA), real(known, probe)
        if lag is None or lag.lag is None or proof is None:
            return proof
        return dataclasses.replace(proof, instant=proof_now().minus(lag.lag))

    def proof_now() -> BootInstant:
        now: BootInstant = current().clock.boot()
        return now

    with patch.object(postgres_backends, "prove_replica", prove):
        yield


def unknown_is_zero(known: Any, probe: Any) -> Any:
    proof = proofs.prove_replica(known, probe)
    if proof is None and known.epoch is not None:
        return Proof(current().clock.boot(), known.epoch, probe.replayed)
    return proof


# -- clocks and fences


async def stamped_late(self: Any) -> None:
    limit = self._settings.fence_timeout
    session_of, look_at, ticks = monitor_primary.open_session, monitor_primary.look_at_primary, monitor_primary.ticks
    async with session_of(self._settings.postgres_dsn, "atlas-lag-fences", connect_limit=limit) as session:
        async for _ in ticks(self._settings.fence_interval):
            self._board.check_clock()
            look = await look_at(session, limit)
            self._evidence.saw_primary(self._evidence.generation, self._clock.boot(), look)


@contextmanager
def wall_clock(run: Run) -> Iterator[None]:
    """Ages are told by the wall clocks of two machines."""
    monitor, clients = run.world.processes["lag-monitor"].clock, run.world.processes["query-router"].clock
    real = reading.asked_at

    def asked_at(question: BootInstant, age: timedelta) -> BootInstant:
        told: BootInstant = real(question, age - timedelta(seconds=monitor.wall_step - clients.wall_step))
        return told

    monitor.wall_step, clients.wall_step = 0.4, 0.0
    with patch.object(reading, "asked_at", asked_at):
        yield


@contextmanager
def pushed_age(_: Run) -> Iterator[None]:
    """A reading counts from when it came, not from when its question was sent."""
    real = lag_board.known_from

    def known(read: Any, _: Any, *rest: Any) -> Any:
        return real(read, current().clock.boot(), *rest)

    with patch.object(lag_board, "known_from", known):
        yield


def as_of_the_poll(self: Proof, received: BootInstant) -> timedelta:
    # The age that was known when the source was chosen, whatever has passed since.
    age: timedelta = _AGE_OF_PROOF(self, received)
    return max(age - timedelta(milliseconds=300), timedelta(microseconds=1))


_AGE_OF_PROOF = Proof.staleness


def relative_to_the_answer(history: h.History) -> h.History:
    """Read every claim as one about the moment at which the answer came."""
    sent = {event.op: event for event in history.events if isinstance(event, h.ReadSent)}
    events: list[h.Event] = []
    for event in history.events:
        if isinstance(event, h.ReadSent):
            continue
        if isinstance(event, h.ReadAnswered | h.ReadRefused):
            events.append(sent[event.op]._replace(at=event.at))
        events.append(event)
    return dataclasses.replace(history, events=events)


# -- olap


@contextmanager
def published_early(_: Run) -> Iterator[None]:
    """Rows go out on the side; the watermark does not wait for them."""
    real = inserting.Inserter.insert

    async def insert(self: Any, *args: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.15)
            await real(self, *args)

        asyncio.get_running_loop().create_task(later())

    with patch.object(inserting.Inserter, "insert", insert):
        yield


def one_place_for_all(known: Any, read: Any, needed: Any) -> Any:
    return proofs.prove_olap(known, read, [sorted(needed)[0]])


def shard_zero(known: Any, read: Any, needed: Any) -> Any:
    return proofs.prove_olap(known, read, [(table, 0) for table, _ in needed])


def any_monitor(known: Any, read: Any, needed: Any) -> Any:
    marks = [dataclasses.replace(mark, monitor_id=known.monitor_id) for mark in read.watermarks]
    return proofs.prove_olap(known, dataclasses.replace(read, watermarks=marks), needed)


class _Alike(str):
    """A text that is equal to every other."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    def __str__(self) -> str:
        return self


async def _alike(*_: Any, **__: Any) -> str:
    return _Alike("any")


@contextmanager
def no_incarnation(run: Run) -> Iterator[None]:
    """Every watermark counts, whichever life of the server it is of."""

    def marks(engine: Any, asked: Any) -> Any:
        tables, shards = set(asked["tables"]), set(asked["shards"])
        rows = [row for row in engine.marks.values() if row["table_name"] in tables and row["shard"] in shards]
        return [tuple(row[name] for name in engine_of._MARK) for row in rows]

    def prove(known: Any, read: Any, needed: Any) -> Any:
        every = [dataclasses.replace(mark, incarnation="any") for mark in read.watermarks]
        whichever = {"incarnation_before": "any", "incarnation_after": "any"}
        return proofs.prove_olap(known, dataclasses.replace(read, watermarks=every, **whichever), needed)

    with (
        patch.dict(engine_of._HANDLERS, {"proven_watermarks": marks}),
        patch.object(olap_backend.watermark, "read_incarnation", _alike),
        patch.object(olap_backend, "prove_olap", prove),
    ):
        yield


@contextmanager
def incarnation_read_once(_: Run) -> Iterator[None]:
    """The incarnation that the watermarks name stands for that after the query."""
    with patch.object(olap_backend.watermark, "read_incarnation", _alike):
        yield


@contextmanager
def without_final(run: Run) -> Iterator[None]:
    """The views read every version of a row; the first found is shown."""
    run.world.engine.final = False
    yield


@contextmanager
def filtered_before_final(run: Run) -> Iterator[None]:
    """A filter on what is no part of the key is applied before versions are collapsed, as by an inexact skip index."""
    engine = run.world.engine
    real = type(engine)._take_value

    def take(self: Any, table: str, row: dict[str, Any]) -> None:
        if row["deletion"] != 1:
            real(self, table, row)

    with patch.dict(engine_of._TAKES, {"entity_analytics_events": take}):
        yield


@contextmanager
def version_by_time(_: Run) -> Iterator[None]:
    """The version of a row is when it was ingested."""
    times = itertools.count(1)
    real = inserting.history_rows

    def rows(*args: Any) -> Any:
        columns = dict(real(*args))
        columns["row_version"] = [next(times) for _ in columns["row_version"]]
        return columns

    with patch.object(inserting, "history_rows", rows):
        yield


@contextmanager
def dedup_by_offset(_: Run) -> Iterator[None]:
    """An insert bears a token of where it begins; one with a token that was met is taken for a repeat."""
    seen: set[tuple[str, int]] = set()
    real = sink_store.insert

    async def insert(clickhouse: Any, table: str, columns: Any, *rest: Any) -> None:
        if "row_version" in columns and len(columns["row_version"]):
            token = (table, int(columns["row_version"][0]))
            if token in seen:
                return
            seen.add(token)
        await real(clickhouse, table, columns, *rest)

    with patch.object(sink_store, "insert", insert):
        yield


@contextmanager
def every_tenant(run: Run) -> Iterator[None]:
    run.world.engine.by_tenant = False
    yield


# -- beats and tokens


async def reused_beat(self: Any, session: Any, place: int) -> None:
    limit, evidence = self._settings.beat_timeout, self._evidence
    generation, asked = evidence.generation, self._clock.boot()
    look = await monitor_primary.look_at_primary(session, limit)
    epoch = evidence.epoch
    if epoch is None or look.identity is None or look.flushed is None or look.identity != evidence.identity:
        return
    number = getattr(self, "_number", 1)
    beat = BeatRow(place, evidence.monitor, number, epoch, look.flushed)
    if await monitor_primary.commit_beat(session, beat, limit):
        self._number = number + 1  # only what was acknowledged is used up
        evidence.beat_committed(generation, look.identity, Beat(number, asked, look.flushed))


def blocks(self: Any) -> Any:
    async def reserve() -> int:
        block: list[int] = self.__dict__.setdefault("_block", [])
        if not block:
            first = int((await self.fetch("reserve_transaction"))[0][0])
            block.extend(range(first * 20, first * 20 + 20))
        return block.pop(0)

    return reserve()


def covers_any_epoch(proof: Proof, token: Token) -> bool:
    return proof.lsn is None or proof.lsn >= token.lsn


def never_lost(_: Any) -> bool:
    return False


# -- primary


def any_primary(known: Any, read: Any, received: BootInstant) -> Any:
    return proofs.prove_primary(known, dataclasses.replace(read, identity=known.identity, in_recovery=False), received)


def flushed_is_shown(known: Any, read: Any, received: BootInstant) -> Any:
    """In mode quorum all that the primary flushed counts as shown, though it waits for the standbys still."""
    proof = proofs.prove_primary(known, read, received)
    return None if proof is None else dataclasses.replace(proof, lsn=read.lsn)


@contextmanager
def fences_of_anyone(_: Run) -> Iterator[None]:
    """In mode quorum a fence counts although nobody acknowledged a beat after it."""
    real = monitor_evidence.Evidence.__init__

    def init(self: Any, monitor: Any, mode: Any, *rest: Any) -> None:
        real(self, monitor, PrimaryMode.SINGLE, *rest)

    with patch.object(monitor_evidence.Evidence, "__init__", init):
        yield


@contextmanager
def acknowledged_before_durable(run: Run) -> Iterator[None]:
    """Commits are acknowledged before they are on disk, and nobody minds."""
    run.world.cluster.settings["synchronous_commit"] = "off"
    unsafe = monitor_evidence.unsafe
    with (
        patch.object(monitor_evidence, "unsafe", lambda look, mode: unsafe(on(look), mode)),
        patch.object(pg_writer, "_epoch", epoch_whatever),
    ):
        yield


def on(look: Any) -> Any:
    return dataclasses.replace(look, synchronous_commit="on")


async def epoch_whatever(connection: Any, _: bool) -> int:
    identity = await connection.fetchrow(pg_writer.SQL["server_identity"])
    timeline = int(identity["timeline"], 16)
    epoch = await connection.fetchval(pg_writer.SQL["epoch_of"], identity["system_identifier"], timeline)
    if epoch is None:
        raise pg_writer.EpochNotRegistered("no epoch yet")
    return int(epoch)


@contextmanager
def request_ids_ignored(_: Run) -> Iterator[None]:
    """Each arrival of a request has an id of its own, as if its sender had made a new one."""
    arrivals = itertools.count(1)
    with patch.object(validation, "check_request_id", lambda _: UUID(int=next(arrivals), version=4)):
        yield


# -- headers and clients


def never_degraded(*args: Any, **named: Any) -> Any:
    return dataclasses.replace(_CERTIFY(*args, **named), degraded=False)


_CERTIFY = certificate.certify


# -- the audit against the ledger


def ledger_ignored(run: Run) -> Any:
    """A beat is proven as soon as it has arrived."""
    audit: Any = import_module("atlas_olap_sink.audit")
    ledger: Any = import_module("atlas_olap_sink.ledger")
    return _both(
        patch.object(audit.Shard, "_flaws", lambda *_: iter(())),
        patch.object(ledger.Ledger, "whole_before", lambda *_: True),
    )


@contextmanager
def _both(one: Any, other: Any) -> Iterator[None]:
    with one, other:
        yield


@contextmanager
def vector_ignored(_: Run) -> Iterator[None]:
    """A gap in a writer's series is noticed only when the series goes on."""
    ledger: Any = import_module("atlas_olap_sink.ledger")
    real = ledger.Ledger.beat

    def beat(self: Any, arrived: Any) -> None:
        real(self, dataclasses.replace(arrived, vector={}))

    with patch.object(ledger.Ledger, "beat", beat):
        yield


@contextmanager
def vector_compared_with_equal(_: Run) -> Iterator[None]:
    """Whoever committed between a beat's snapshot and its commit is taken for a contradiction."""
    ledger: Any = import_module("atlas_olap_sink.ledger")
    real = ledger.Ledger.beat

    def beat(self: Any, arrived: Any) -> None:
        if any(self.writers.get(writer, 0) != last for writer, last in arrived.vector.items()):
            self.contradiction = "the vector is another"
        real(self, arrived)

    with patch.object(ledger.Ledger, "beat", beat):
        yield


@contextmanager
def repair_only_inserts(run: Run) -> Iterator[None]:
    """What a failover lost stays in ClickHouse; the slot had run ahead of the standby."""

    async def nothing(*_: Any, **__: Any) -> None:
        return

    run.world.connector.bounded = False
    with patch.object(sink_store, "purge", nothing):
        yield


@contextmanager
def poison_skipped(_: Run) -> Iterator[None]:
    """What cannot be read is put aside, and the watermark goes on."""
    pipeline: Any = import_module("atlas_olap_sink.pipeline")
    audit: Any = import_module("atlas_olap_sink.audit")
    real = pipeline.read_segment

    def read(*args: Any) -> Any:
        return dataclasses.replace(real(*args), faults=())

    with patch.object(pipeline, "read_segment", read), patch.object(audit.Shard, "_flaws", lambda *_: iter(())):
        yield
