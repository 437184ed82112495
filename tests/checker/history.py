"""What happened in a run, in the order in which the controller saw it: the one record that all checks read.

One controller drives the clients and the faults and stamps every event on its own clock, in nanoseconds. Events stand
in the order of their stamps, and that order is the "before" of the checks. Values are integers, unique over the run,
so that a value that is read names the write it came from. Fields are plain numbers, texts and tuples: an append costs
a tuple and no more.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

VERSION = 1

# What a read returns of the keys it names.
CURRENT = "current"  # the latest observation of each, by event time
HISTORY = "history"  # every observation of each, within the range of event times if there is one
COUNT = "count"  # only how many observations there are

# The sources whose answers are one snapshot of PostgreSQL.
POSTGRES = frozenset({"primary", "replica"})


class Item(NamedTuple):
    """One observation of a write. `value` None: a delete, of that observation or (`event_time` None) of the whole key.

    `key` names an attribute of an entity within its tenant; `event_time` is microseconds since 1970.
    """

    key: str
    event_time: int | None
    value: int | None


class Seen(NamedTuple):
    """One observation in an answer."""

    key: str
    event_time: int
    value: int


class PassedOver(NamedTuple):
    """A source that did not serve the answer, why, and how stale it was; None: unknown."""

    source: str
    reason: str
    staleness: int | None


class WriteSent(NamedTuple):
    """A write of one request, all or nothing, was sent. Without a later event of this `op` its outcome is unknown."""

    at: int
    op: int
    tenant: int
    items: tuple[Item, ...]
    session: str = ""


class WriteAcknowledged(NamedTuple):
    """The caller was told that the write is committed. `created` is its commit time, microseconds since 1970."""

    at: int
    op: int
    token: str
    created: int | None = None
    repeated: bool = False


class WriteFailed(NamedTuple):
    """The caller was told that nothing was stored, for certain. An unknown outcome has no event."""

    at: int
    op: int
    reason: str


class ReadSent(NamedTuple):
    """A read was sent. `limit` is the staleness asked for in nanoseconds; `sources` those allowed, in their order.

    `token` (empty: none) is what the answer must cover; reads of one `session` must never go back.
    `start` and `end` bound the event times of a history read, the end excluded.
    """

    at: int
    op: int
    tenant: int
    shape: str
    keys: tuple[str, ...]
    use_case: str
    policy: str
    limit: int
    sources: tuple[str, ...]
    token: str = ""
    session: str = ""
    start: int | None = None
    end: int | None = None


class ReadAnswered(NamedTuple):
    """The answer and its certificate. `claim` is the staleness claimed in nanoseconds; None: unknown.

    `rows` belongs to the shape COUNT. `complete_before` is the promise that no row created before it (microseconds
    since 1970) will still appear; None: no promise.
    """

    at: int
    op: int
    source: str
    claim: int | None
    seen: tuple[Seen, ...]
    epoch: int | None = None
    position: int | None = None
    beat: int | None = None
    degraded: bool = False
    excludes_loss: bool = False
    passed_over: tuple[PassedOver, ...] = ()
    session_token: str = ""
    rows: int | None = None
    complete_before: int | None = None


class ReadRefused(NamedTuple):
    """The read has no answer. `freshness` True: because of freshness, which the refusal says, and not of an outage."""

    at: int
    op: int
    reason: str
    freshness: bool
    passed_over: tuple[PassedOver, ...] = ()


class FaultStarted(NamedTuple):
    """A fault begins to act. `number` is unique in the run; `kind` is that of the schedule."""

    at: int
    number: int
    kind: str
    target: str
    detail: str = ""


class FaultEnded(NamedTuple):
    """The fault of this number acts no more (what it broke may still be recovering)."""

    at: int
    number: int


class Healed(NamedTuple):
    """From here on no fault acts, and every class has a limited time to meet its budget again."""

    at: int


class WritesLost(NamedTuple):
    """Acknowledged writes that a failover without quorum lost, as read from the fork of the timelines."""

    at: int
    ops: tuple[int, ...]
    epoch: int  # the first epoch that is without them


class CopyCounted(NamedTuple):
    """What a copy holds of one tenant and day once all is quiet; equal fingerprints mean equal rows."""

    at: int
    copy: str
    tenant: int
    day: str
    rows: int
    fingerprint: str


Event = (
    WriteSent
    | WriteAcknowledged
    | WriteFailed
    | ReadSent
    | ReadAnswered
    | ReadRefused
    | FaultStarted
    | FaultEnded
    | Healed
    | WritesLost
    | CopyCounted
)

_KINDS: dict[str, Any] = {
    "ws": WriteSent,
    "wa": WriteAcknowledged,
    "wf": WriteFailed,
    "rs": ReadSent,
    "ra": ReadAnswered,
    "rr": ReadRefused,
    "fs": FaultStarted,
    "fe": FaultEnded,
    "he": Healed,
    "wl": WritesLost,
    "cc": CopyCounted,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
# Fields that hold tuples of tuples, which JSON gives back as lists of lists.
_NESTED: dict[str, type[Item | Seen | PassedOver]] = {"items": Item, "seen": Seen, "passed_over": PassedOver}


@dataclass(slots=True)
class History:
    """The events of one run. `replay` is the command that makes the same run again; `tier` says what ran."""

    replay: str = ""
    tier: str = ""
    seed: int = 0
    events: list[Event] = field(default_factory=list)
    _ops: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def append(self, event: Event) -> None:
        """Add an event whose stamp is not before that of the last one."""
        self.events.append(event)

    def next_op(self) -> int:
        """Return a number that no operation of this history has yet."""
        return next(self._ops)

    def disorder(self) -> int | None:
        """Return the index of the first event that is stamped before the one in front of it, or None."""
        last = -(1 << 63)
        for index, event in enumerate(self.events):
            if event.at < last:
                return index
            last = event.at
        return None


def dump(history: History, path: Path) -> None:
    """Write the history as JSON lines: one of the run, then one for each event."""
    with path.open("w", encoding="utf-8") as out:
        _dump_to(history, out)


def _dump_to(history: History, out: TextIO) -> None:
    head = {"version": VERSION, "tier": history.tier, "seed": history.seed, "replay": history.replay}
    out.write(json.dumps(head) + "\n")
    for event in history.events:
        out.write(json.dumps([_NAMES[type(event)], *event], separators=(",", ":")) + "\n")


def load(path: Path) -> History:
    """Return the history of such a file. Raises ValueError for another version."""
    with path.open(encoding="utf-8") as lines:
        head = json.loads(next(lines))
        if head.get("version") != VERSION:
            raise ValueError(f"{path}: version {head.get('version')!r} of a history, not {VERSION}")
        events = list(_events(lines))
    return History(head["replay"], head["tier"], head["seed"], events)


def _events(lines: Iterable[str]) -> Iterator[Event]:
    for line in lines:
        name, *values = json.loads(line)
        kind = _KINDS[name]
        yield kind(*(_field(label, value) for label, value in zip(kind._fields, values, strict=True)))


def _field(name: str, value: object) -> object:
    if not isinstance(value, list):
        return value
    inner = _NESTED.get(name)
    return tuple(value) if inner is None else tuple(inner(*one) for one in value)
