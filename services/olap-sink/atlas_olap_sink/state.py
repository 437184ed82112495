"""What the sink knows of one partition at a proven beat, kept so that a restart resumes exactly there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from atlaskit.cdc.intervals import Intervals

from atlas_olap_sink.ledger import Basis

# A server that stopped may have lost parts that were acknowledged less than this before.
DOUBT = timedelta(minutes=10)
MARK_PERIOD = timedelta(seconds=30)
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """An offset behind a published beat, and when that was: seconds since 1970, by this machine's wall clock."""

    offset: int
    at: int

    def beyond_doubt(self, at: int) -> bool:
        """Return whether no restart of a server that lived until `at` can have lost the rows before this place."""
        return at - self.at >= DOUBT.total_seconds()


@dataclass(frozen=True, slots=True)
class Repair:
    """What came from PostgreSQL and not from Kafka, so that reading again does not bring it back.

    `key` is the transaction; None: a snapshot of the whole table and shard."""

    key: int | None
    at: int

    def beyond_doubt(self, at: int) -> bool:
        """Return whether no restart of a server that lived until `at` can have lost the rows of it."""
        return at - self.at >= DOUBT.total_seconds()


@dataclass(frozen=True, slots=True)
class State:
    """A partition behind a published beat: where to go on, and the ledger that everything before it balanced with.

    `at` is when it was made (seconds since 1970), under `incarnation` of ClickHouse: that life had not ended then, and
    nobody knows for how long after.
    `marks` are earlier places, oldest first.
    """

    offset: int
    at: int
    incarnation: UUID
    seen: Mapping[UUID, int] = field(default_factory=dict)
    ledger: Basis = field(default_factory=Basis)
    marks: tuple[Mark, ...] = ()
    repairs: tuple[Repair, ...] = ()

    def encoded(self) -> bytes:
        """Return the state as JSON: some kilobytes."""
        kept: dict[str, Any] = {
            "version": _VERSION,
            "offset": self.offset,
            "at": self.at,
            "incarnation": str(self.incarnation),
            "seen": _by_text(self.seen),
            "ledger": {
                "offset": self.ledger.offset,
                "epoch": self.ledger.epoch,
                "writers": [[writer, last] for writer, last in self.ledger.writers.items()],
                "assumed": [[writer, last] for writer, last in self.ledger.assumed.items()],
                "beats": _by_text(self.ledger.beats),
                "entered": self.ledger.entered.encoded(),
            },
            "marks": [[mark.offset, mark.at] for mark in self.marks],
            "repairs": [[repair.key, repair.at] for repair in self.repairs],
        }
        return orjson.dumps(kept)


def decoded(text: bytes) -> State | None:
    """Return the state; one that cannot be read is None: then the partition is read anew or repaired."""
    try:
        kept = orjson.loads(text)
        if kept["version"] != _VERSION:
            return None
        ledger = kept["ledger"]
        return State(
            offset=int(kept["offset"]),
            at=int(kept["at"]),
            incarnation=UUID(kept["incarnation"]),
            seen=_by_monitor(kept["seen"]),
            ledger=Basis(
                offset=int(ledger["offset"]),
                writers={int(writer): int(last) for writer, last in ledger["writers"]},
                entered=Intervals.decoded(ledger["entered"]),
                beats=_by_monitor(ledger["beats"]),
                epoch=int(ledger["epoch"]),
                assumed={int(writer): int(last) for writer, last in ledger["assumed"]},
            ),
            marks=tuple(Mark(int(offset), int(at)) for offset, at in kept["marks"]),
            repairs=tuple(Repair(None if key is None else int(key), int(at)) for key, at in kept["repairs"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def marked(marks: tuple[Mark, ...], offset: int, now: int) -> tuple[Mark, ...]:
    """Return the marks once everything before `offset` is published now.

    There is a new one if the last is older than `MARK_PERIOD`, and none that nobody needs any more."""
    added = [*marks]
    if not added or now - added[-1].at >= MARK_PERIOD.total_seconds():
        added.append(Mark(offset, now))
    old = [mark for mark in added if mark.beyond_doubt(now)]
    return (*old[-1:], *(mark for mark in added if not mark.beyond_doubt(now)))


def beyond_doubt(marks: tuple[Mark, ...], at: int) -> int | None:
    """Return the newest offset whose rows no restart of a server that lived until `at` can have lost, or None.

    The server's life is known until its last state was made, so ages are those of that time: one that has been away for
    an hour lost what it took in its last minutes.
    """
    sure = [mark.offset for mark in marks if mark.beyond_doubt(at)]
    return sure[-1] if sure else None


def in_doubt(repairs: tuple[Repair, ...], at: int) -> tuple[Repair, ...]:
    """Return the repairs that the restart of a server that lived until `at` may have lost."""
    return tuple(repair for repair in repairs if not repair.beyond_doubt(at))


def _by_text(numbers: Mapping[UUID, int]) -> dict[str, int]:
    return {str(monitor): number for monitor, number in numbers.items()}


def _by_monitor(numbers: Mapping[str, int]) -> dict[UUID, int]:
    return {UUID(monitor): int(number) for monitor, number in numbers.items()}
