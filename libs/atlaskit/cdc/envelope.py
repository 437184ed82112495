"""Flattened change events of one partition, sorted into rows, beats and faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import orjson

from atlaskit.cdc.beat import ArrivedBeat, beat_from
from atlaskit.cdc.fields import Undecodable
from atlaskit.cdc.topics import BEAT_SUFFIX, Topic

RowEvent: TypeAlias = dict[str, Any]

_WRITES = frozenset({"c", "u", "r"})
_BEAT_MARK = f'{BEAT_SUFFIX}"'.encode()


class Record(Protocol):
    """What a consumer hands over. `timestamp` is milliseconds since 1970, by the broker or the producer."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """An event that cannot be stored as a row. `code` and `reason` say why.

    It freezes its partition, and the shard that it names if it came on the partition of another. A delete freezes the
    table: PostgreSQL tells no more of the row than its key, without the shard, so that it comes on any partition.
    """

    offset: int
    code: str
    reason: str
    value: bytes | None
    shard: int | None = None
    shard_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """The events of one partition, from some offset up to `end` (the first offset not read)."""

    topic: Topic
    partition: int
    rows: tuple[RowEvent, ...]
    offsets: tuple[int, ...]  # of `rows`
    timestamps: tuple[int, ...]  # of `rows`, milliseconds
    beats: tuple[ArrivedBeat, ...]
    faults: tuple[Fault, ...]
    end: int


def looks_like_a_beat(record: Record) -> bool:
    """Tell, without decoding it, whether a record is a beat. A row may be taken for one, a beat never for a row."""
    return record.value is not None and _BEAT_MARK in record.value


def read_segment(topic: Topic, partition: int, records: Sequence[Record]) -> Segment:
    """Return what the records of one partition hold, in their order. Nothing is skipped: what is no row is a fault."""
    rows: list[RowEvent] = []
    places: list[tuple[int, int]] = []
    beats: list[ArrivedBeat] = []
    faults: list[Fault] = []
    beat_table = topic.table + BEAT_SUFFIX
    for record in records:
        event = _event(record)
        if isinstance(event, Fault):
            faults.append(event)
        elif event.get("shard") != partition:
            faults.append(_misplaced(record, event.get("shard"), partition))
        elif event.get("__table") == topic.table:
            rows.append(event)
            places.append((record.offset, record.timestamp))
        elif event.get("__table") == beat_table:
            beat = _beat(event, record)
            (beats if isinstance(beat, ArrivedBeat) else faults).append(beat)  # type: ignore[arg-type]
        else:
            faults.append(_fault(record, "UNKNOWN_TABLE", f"table {event.get('__table')!r} in topic {topic.name}"))
    offsets, timestamps = zip(*places, strict=True) if places else ((), ())
    end = records[-1].offset + 1
    return Segment(topic, partition, tuple(rows), offsets, timestamps, tuple(beats), tuple(faults), end)


def _event(record: Record) -> RowEvent | Fault:
    if record.value is None:
        return _deleted(record)
    try:
        event = orjson.loads(record.value)
    except orjson.JSONDecodeError as wrong:
        return _fault(record, "UNDECODABLE", f"not JSON: {wrong}")
    if not isinstance(event, dict):
        return _fault(record, "UNDECODABLE", "not a JSON object")
    operation = event.get("__op")
    if operation == "d" or event.get("__deleted") in ("true", True):
        return _deleted(record)
    if operation not in _WRITES:
        return _fault(record, "UNDECODABLE", f"operation {operation!r}")
    return event


def _beat(event: RowEvent, record: Record) -> ArrivedBeat | Fault:
    try:
        return beat_from(event, record.offset)
    except Undecodable as wrong:
        return _fault(record, "UNDECODABLE", str(wrong))


def _deleted(record: Record) -> Fault:
    reason = "a row was deleted behind the ledger's back"
    return Fault(record.offset, "DELETED", reason, record.value, shard_unknown=True)


def _misplaced(record: Record, shard: object, partition: int) -> Fault:
    reason = f"shard {shard!r} on partition {partition}"
    return Fault(record.offset, "WRONG_PARTITION", reason, record.value, shard if isinstance(shard, int) else None)


def _fault(record: Record, code: str, reason: str) -> Fault:
    return Fault(record.offset, code, reason, record.value)
