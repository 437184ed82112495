"""The connector: committed transactions of the slot, in commit order, as flattened events on the topics' partitions."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from aiokafka import TopicPartition
from checker.sim.pg.cluster import Slot
from checker.sim.pg.monitor import SINGLE_TABLES, SPREAD_TABLES
from checker.sim.pg.server import Commit, Server, Timeline
from checker.sim.process import WALL_BEGIN, Process

if TYPE_CHECKING:
    from checker.sim.kafka import Broker
    from checker.sim.network import World

Event = tuple[TopicPartition, bytes]
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_US = (WALL_BEGIN - _FIRST) // timedelta(microseconds=1)
_CAPTURED = frozenset({"entities", "entity_hot_attributes", "entity_attributes", "ingest_batches"})
_AT = {
    (f"atlas.{table}", shard): TopicPartition(f"atlas.{table}", shard) for table in SPREAD_TABLES for shard in range(10)
}
_SINGLE = {table: TopicPartition(f"atlas.{table}", 0) for table in (*SINGLE_TABLES, "ingest_batches")}


def text_of(microseconds: int) -> str:
    """A timestamptz as the connector writes it: without trailing zeros of the fraction."""
    whole, rest = divmod(microseconds, 1_000_000)
    text = (_FIRST + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:06d}".rstrip("0") + "Z" if rest else text + "Z"


def wall_text(seconds: float) -> str:
    return text_of(_WALL_US + int(seconds * 1e6))


def events_of(commit: Commit) -> list[Event]:
    """The events of a transaction, in the order of its changes. Made once."""
    if commit.events is None:
        commit.events = [event for table, what in commit.changes for event in _events(table, what, commit.lsn)]
    return commit.events


def _events(table: str, what: Any, lsn: int) -> list[Event]:
    if table == "beats":
        return _beat_events(what, lsn)
    if table == "terms":
        return _term_events(what, lsn)
    if table not in _CAPTURED:
        return []
    row = dict(what)
    for name in ("created_at", "updated_at"):
        if name in row:
            row[name] = wall_text(row[name])
    if table == "entity_attributes":
        row |= value_fields(row)
    return [(_place(table, row["shard"]), _flattened(table, row, lsn))]


def value_fields(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a row of the history that are not written as they are."""
    fields = {"event_time": text_of(row["event_time"])}
    if row["value_uint"] is not None:
        fields["value_uint"] = str(row["value_uint"])
    if row["value_bytes"] is not None:
        fields["value_bytes"] = base64.b64encode(row["value_bytes"]).decode()
    return fields


def _place(table: str, shard: int) -> TopicPartition:
    return _SINGLE[table] if table in _SINGLE else _AT[f"atlas.{table}", shard]


def _flattened(table: str, row: dict[str, Any], lsn: int) -> bytes:
    return orjson.dumps({**row, "__op": "c", "__table": table, "__lsn": lsn, "__deleted": "false"})


def _term_events(what: dict[str, Any], lsn: int) -> list[Event]:
    kind = what["kind"]
    if kind not in SINGLE_TABLES:
        return []
    number, text = ("attribute_id", "attribute_key") if kind == "attribute_keys" else ("asset_type_id", "asset_type")
    row = {
        "tenant_id": what["tenant_id"],
        number: what["id"],
        text: what["text"],
        "shard": 0,
        "row_version": what["row_version"],
    }
    return [(_SINGLE[kind], _flattened(kind, row, lsn))]


def _beat_events(beat: dict[str, Any], lsn: int) -> list[Event]:
    head = (
        f'{{"place":{beat["place"]},"monitor":"{beat["monitor"]}","beat":{beat["beat"]},"epoch":{beat["epoch"]},'
        f'"lsn":{beat["lsn"]},"__op":"u","__lsn":{lsn},"__deleted":"false","__table":"'
    )
    events = [
        (_AT[f"atlas.{table}", shard], f'{head}{table}_beat","shard":{shard}}}'.encode())
        for table in SPREAD_TABLES
        for shard in range(10)
    ]
    events += [(_SINGLE[table], f'{head}{table}_beat","shard":0}}'.encode()) for table in SINGLE_TABLES]
    vector = orjson.dumps(beat["vector"]).decode()
    events.append((_SINGLE["ingest_batches"], f'{head}ingest_batches_beat","shard":0,"vector":{vector}}}'.encode()))
    return events


class Connector:
    """Reads the slot of the primary and appends to Kafka, with its position in the same transaction.

    `position` is the number of transactions whose events are in Kafka, of `timeline`, and how many events of the next.
    """

    def __init__(self, world: World, process: Process, broker: Broker) -> None:
        self.world, self.process, self.broker = world, process, broker
        self.timeline: Timeline | None = None
        self.position = 0
        self.within = 0
        self.slot_made = 0  # how often the slot was made anew
        self.bounded = True  # the slot waits for the standby, so that no failover loses what was sent
        self.most = 512  # events in one poll
        self.delay = 0.0
        self.drop_tail_at_restart = False
        self.drop = 0  # events to drop, one by one
        self.drop_whole = 0  # transactions of ingest to drop with everything they hold
        self.spoil = 0  # events to make unreadable
        self.doubled = 0
        self._data: asyncio.Future[None] | None = None
        self._server: Server | None = None

    async def run(self) -> None:
        """Work until killed; after a lost server connect again."""
        while True:
            server = self.world.cluster.resolve("primary")
            if self._reaches(server) and self._attach(server):
                await self._stream(server)
            await asyncio.sleep(0.1)

    def _reaches(self, server: Server) -> bool:
        up = server.ready and server.process.alive and not server.process.loop.halted and not server.in_recovery
        return up and self.world.network.passes(server.process.name, self.process.name)

    def _attach(self, server: Server) -> bool:
        line = server.timeline
        if self.timeline is None:
            self.timeline = line
        elif line is not self.timeline:
            self._cross(self.timeline, line)
        if self._server is not server:
            self._server = server
            server.on_flush.append(self._wake)
        return True

    def _cross(self, old: Timeline, new: Timeline) -> None:
        """Go on with the slot of another line: from the fork, or, if that is not known here, from where it was."""
        common = new.fork if old.number != new.number else self.position
        if common < self.position or (common == self.position and old.number != new.number):
            self.within = 0
        self.position = min(self.position, common) if old.number != new.number else min(self.position, len(new.commits))
        self.timeline = new

    async def _stream(self, server: Server) -> None:
        while self._reaches(server) and server.timeline is self.timeline and self._is_primary(server):
            batch = self._batch(server)
            if batch is None:
                self._data = self.process.loop.create_future()
                timer = self.process.loop.call_later(0.25, _wake, self._data)
                await self._data
                timer.cancel()
                await asyncio.sleep(0.002)
                continue
            events, position, within = batch
            await asyncio.sleep(self.delay + self.world.chance.uniform(0.003, 0.02))
            if server.timeline is not self.timeline:
                return
            while not self._kafka_takes():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(0.05)
            self.broker.append(events, int(self.process.loop.time() * 1000))
            slot = self.world.cluster.slot
            slot.transactions += max(position - self.position, 0)
            self.position, self.within = position, within
            if position:
                slot.confirmed = max(slot.confirmed, self.timeline.commits[position - 1].lsn)

    def _is_primary(self, server: Server) -> bool:
        return self.world.cluster.resolve("primary") is server

    def _kafka_takes(self) -> bool:
        broker = self.broker.process
        passes = self.world.network.passes(self.process.name, broker.name)
        return passes and broker.alive and not broker.loop.halted

    def _batch(self, server: Server) -> tuple[list[Event], int, int] | None:
        """The next events, and the position after them. It may end within a transaction."""
        assert self.timeline is not None
        position, within, events = self.position, self.within, list[Event]()
        end = server.flushed
        if self.bounded:
            end = min((standby.received for standby in self.world.cluster.standbys_of(server)), default=position)
        while position < end and len(events) < self.most:
            of_next = self._left_of(self.timeline.commits[position], within)
            taken = of_next[within : within + self.most - len(events)]
            events += taken
            within += len(taken)
            if within >= len(of_next):
                position, within = position + 1, 0
        if position == self.position and within == self.within:
            return None
        return self._harmed(events), position, within

    def _left_of(self, commit: Commit, within: int) -> list[Event]:
        """The events of a transaction; none of one that is dropped whole."""
        events = events_of(commit)
        rows = not within and any(table == "entity_attributes" for table, _ in commit.changes)
        if self.drop_whole and rows:
            self.drop_whole -= 1
            commit.events = events = []
        return events

    def _harmed(self, events: list[Event]) -> list[Event]:
        """The events with the faults that were ordered: some dropped, some spoilt, some twice."""
        if not self.drop and not self.doubled and not self.spoil:
            return events
        kept = []
        for at, value in events:
            beat = b"_beat" in value
            if self.drop and not beat:
                self.drop -= 1
                continue
            if self.spoil and not beat:
                self.spoil -= 1
                kept.append((at, value[:-3]))
                continue
            kept.append((at, value))
            if self.doubled and not beat:
                self.doubled -= 1
                kept.append((at, value))
        return kept

    def _wake(self) -> None:
        data = self._data
        if data is not None and not data.done() and not self.process.loop.dead:
            self.process.loop.call_soon(_wake, data)

    # -- faults

    def restart(self, *, back: int = 0) -> None:
        """Start after a kill. `back`: transactions that are sent again, if the offsets had not been kept exactly."""
        if self.drop_tail_at_restart and self.within:
            self.position, self.within = self.position + 1, 0
        self.drop_tail_at_restart = False
        if back:
            self.position, self.within = max(self.position - back, 0), 0
        self._data = None
        self.process.restart()
        self.process.run(self.run(), "connector")

    def recreate_slot(self, server: Server) -> None:
        """The slot was dropped and made anew: what was not sent yet never is."""
        self.slot_made += 1
        self.world.cluster.slot = Slot()
        self.world.cluster.slot.confirmed = server.flush_lsn
        self.position, self.within = server.flushed, 0
        self.timeline = server.timeline


def _wake(data: asyncio.Future[None]) -> None:
    if not data.done():
        data.set_result(None)
