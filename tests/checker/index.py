"""What a history says about each key, arranged so that one look finds the first write that an answer misses.

"Before" is the order of the history: a write is certainly before another if its acknowledgement stands before the
other's sending. Of two writes of one observation that overlap either may hold; nothing is concluded from them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from checker.history import (
    COUNT,
    HISTORY,
    History,
    ReadAnswered,
    ReadRefused,
    ReadSent,
    WriteAcknowledged,
    WriteFailed,
    WriteSent,
    WritesLost,
)

NEVER = 1 << 62
Place = tuple[int, str]  # tenant and key
Position = tuple[int, int]  # epoch and position in the write-ahead log


def position_of(token: str) -> Position | None:
    """Return the epoch and position that a token names, or None for a text of another form."""
    parts = token.split(".")
    if len(parts) != 3 or parts[0] != "a1":
        return None
    try:
        return int(parts[1]), int(parts[2], 16)
    except ValueError:
        return None


@dataclass(slots=True)
class Written:
    """One item of a write. `sent` and `acked` are places in the history, `acked_at` nanoseconds; NEVER: not so far."""

    op: int
    place: Place
    event_time: int | None
    value: int | None
    sent: int
    acked: int = NEVER
    acked_at: int = NEVER
    token: Position | None = None
    created: int | None = None
    failed: bool = False
    replaced: bool = False  # by a later item of its own request: no answer may show it
    lost_from: int | None = None  # the first epoch that is without it

    def hits(self, other: Written) -> bool:
        """Tell whether this delete is one of the other item."""
        return self.value is None and self.event_time in (None, other.event_time)


class Missing(NamedTuple):
    """The first write that an answer should reflect and does not. `measure`: its acknowledgement, or its position."""

    measure: int | Position
    written: Written
    shown: Written | None


class Line:
    """The acknowledged items of one key in the order of a measure, which is when or where each was acknowledged."""

    def __init__(self, items: Iterable[tuple[int | Position, Written]]) -> None:
        self.measures: list[int | Position] = []
        self.items: list[Written] = []
        self.deletes = False
        # The greatest (event time, sending) among the items up to here; it never falls, so it can be searched.
        self._tops: list[tuple[int, int]] = []
        self._first: dict[int, int] = {}  # of each observation, the index of its first item
        self._again: dict[int, list[int]] = {}  # of each observation written more than once, the indexes of its items
        top = (-NEVER, -1)
        for measure, item in items:
            index = len(self.items)
            self.measures.append(measure)
            self.items.append(item)
            if item.value is None or item.event_time is None:
                self.deletes = True
            else:
                top = max(top, (item.event_time, item.sent))
                if item.event_time in self._first:
                    self._again.setdefault(item.event_time, [self._first[item.event_time]]).append(index)
                else:
                    self._first[item.event_time] = index
            self._tops.append(top)

    def behind_current(self, shown: Written | None, answered: int) -> Missing | None:
        """Return the first item that is certainly newer than what was shown as the latest (None: nothing was)."""
        if self.deletes:
            return self._behind_with_deletes(shown, answered)
        bound = (-NEVER, -1) if shown is None else (shown.event_time or 0, shown.acked)
        index = bisect_right(self._tops, bound)
        if index == len(self._tops):
            return None
        # The item that raised the top is the first that is newer.
        return Missing(self.measures[index], self.items[index], shown)

    def behind_history(
        self, shown: dict[int, Written], start: int | None, end: int | None, answered: int
    ) -> Missing | None:
        """Return the first observation in the range that is missing, or shown as it was before that item."""
        absent = (index for moment, index in self._first.items() if moment not in shown and _within(moment, start, end))
        found = list(absent if self.deletes else itertools.islice(absent, 1))
        found += [index for moment in self._again.keys() & shown.keys() for index in self._newer(shown[moment])]
        found += [
            index
            for index, item in enumerate(self.items if self.deletes else ())
            if item.value is None and any(item.hits(one) and one.acked < item.sent for one in shown.values())
        ]
        for index in sorted(found):
            item = self.items[index]
            if not self.may_be_deleted(item, answered):
                return Missing(self.measures[index], item, shown.get(item.event_time or 0))
        return None

    def first_of_each(self) -> list[Any]:
        """Return the measure of the first item of each observation, ascending."""
        return [self.measures[index] for index in self._first.values()]

    def _newer(self, shown: Written) -> Iterator[int]:
        for index in self._again[shown.event_time or 0]:
            if self.items[index].sent > shown.acked:
                yield index

    def _behind_with_deletes(self, shown: Written | None, answered: int) -> Missing | None:
        bound = (-NEVER, -1) if shown is None else (shown.event_time or 0, shown.acked)
        for measure, item in zip(self.measures, self.items, strict=True):
            if item.value is None:
                if shown is not None and item.hits(shown) and shown.acked < item.sent:
                    return Missing(measure, item, shown)
            elif ((item.event_time or 0), item.sent) > bound and not self.may_be_deleted(item, answered):
                return Missing(measure, item, shown)
        return None

    def may_be_deleted(self, item: Written, answered: int) -> bool:
        """Tell whether a delete that was sent before the answer came may have followed this item."""
        if not self.deletes or item.value is None:
            return False
        return any(
            other.hits(item) and other.acked > item.sent and other.sent < answered for other in self.possible_deletes
        )

    @cached_property
    def possible_deletes(self) -> list[Written]:
        """All deletes of the key, also those whose outcome is unknown; set by whoever knows them."""
        return [item for item in self.items if item.value is None]


def _within(moment: int, start: int | None, end: int | None) -> bool:
    return (start is None or moment >= start) and (end is None or moment < end)


@dataclass(slots=True)
class Read:
    """A read with its outcome; the numbers are places in the history."""

    sent: ReadSent
    sent_index: int
    answer: ReadAnswered | None = None
    refusal: ReadRefused | None = None
    index: int = NEVER  # of the answer or the refusal
    missing: Missing | None = None  # the first write, by acknowledgement, that the answer does not reflect

    @property
    def events(self) -> tuple[int, ...]:
        """The places of its events in the history."""
        return (self.sent_index,) if self.index == NEVER else (self.sent_index, self.index)


@dataclass
class Facts:
    """A history by key, by value and by read."""

    history: History
    writes: dict[int, list[Written]] = field(default_factory=dict)
    places: dict[Place, list[Written]] = field(default_factory=dict)
    values: dict[int, Written] = field(default_factory=dict)
    reads: dict[int, Read] = field(default_factory=dict)
    lost: bool = False
    _lines: dict[tuple[Place, bool, bool], Line] = field(default_factory=dict)
    _counts: dict[tuple[int, tuple[str, ...], bool], list[int]] = field(default_factory=dict)

    def line(self, place: Place, *, by_token: bool = False, survivors: bool = False) -> Line:
        """Return the line of a key, by acknowledgement or by position; `survivors`: without what a failover lost."""
        kind = (place, by_token, survivors and self.lost)
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = self._line(*kind)
        return line

    def _line(self, place: Place, by_token: bool, survivors: bool) -> Line:
        written = [
            one
            for one in self.places.get(place, ())
            if one.acked < NEVER and not one.replaced and not (survivors and one.lost_from is not None)
        ]
        if by_token:
            pairs = sorted(((one.token, one) for one in written if one.token is not None), key=lambda pair: pair[0])
            line = Line(pairs)
        else:
            line = Line((one.acked_at, one) for one in sorted(written, key=lambda one: one.acked))
        if any(one.value is None and not one.failed for one in self.places.get(place, ())):
            line.deletes = True
            deletes = [one for one in self.places[place] if one.value is None and not one.failed]
            # The newest delete of the whole key is the likeliest to hide what is asked about.
            line.possible_deletes = sorted(deletes, key=lambda one: (one.event_time is not None, -one.sent))
        return line

    def shown(self, read: Read) -> dict[Place, dict[int, Written]]:
        """Return what an answer shows, by key and event time; values that nobody wrote are left out."""
        found: dict[Place, dict[int, Written]] = {}
        tenant = read.sent.tenant
        for seen in read.answer.seen if read.answer is not None else ():
            written = self.values.get(seen.value)
            if written is not None and written.place == (tenant, seen.key):
                found.setdefault(written.place, {})[seen.event_time] = written
        return found

    def first_missing(self, read: Read, *, by_token: bool = False) -> Missing | None:
        """Return the write, first acknowledged (or first in position), that the answer does not reflect; or None."""
        answer, sent = read.answer, read.sent
        if answer is None:
            return None
        survivors = answer.excludes_loss or by_token
        if sent.shape == COUNT:
            return None if by_token else self._uncounted(read, survivors)
        shown = self.shown(read)
        found: Missing | None = None
        for key in sent.keys:
            place = (sent.tenant, key)
            line = self.line(place, by_token=by_token, survivors=survivors)
            there = shown.get(place, {})
            if sent.shape == HISTORY:
                missing = line.behind_history(there, sent.start, sent.end, read.index)
            else:
                latest = there[max(there)] if there else None
                missing = line.behind_current(latest, read.index)
            if missing is not None and (found is None or missing.measure < found.measure):  # type: ignore[operator]
                found = missing
        return found

    def _uncounted(self, read: Read, survivors: bool) -> Missing | None:
        """Of a count: if it is too small, the last observations are those that could be missing at the least."""
        assert read.answer is not None
        sent, count = read.sent, read.answer.rows or 0
        places = [(sent.tenant, key) for key in sent.keys]
        lines = [self.line(place, survivors=survivors) for place in places]
        if any(line.deletes for line in lines):
            return None
        firsts = self.firsts(sent.tenant, sent.keys, survivors)
        if count >= len(firsts):
            return None
        moment = firsts[count]
        written = next(
            item for line in lines for measure, item in zip(line.measures, line.items, strict=True) if measure == moment
        )
        return Missing(moment, written, None)

    def firsts(self, tenant: int, keys: tuple[str, ...], survivors: bool) -> list[int]:
        """Return when each observation of these keys was first acknowledged, ascending."""
        kind = (tenant, keys, survivors)
        if kind not in self._counts:
            lines = [self.line((tenant, key), survivors=survivors) for key in keys]
            self._counts[kind] = sorted(moment for line in lines for moment in line.first_of_each())
        return self._counts[kind]


def facts_of(history: History) -> Facts:
    """Return the facts of a history, in one pass over it."""
    facts = Facts(history)
    for index, event in enumerate(history.events):
        take = _TAKE.get(type(event))
        if take is not None:
            take(facts, event, index)
    for read in facts.reads.values():
        read.missing = facts.first_missing(read)
    return facts


def _take_read(facts: Facts, event: ReadSent, index: int) -> None:
    facts.reads[event.op] = Read(event, index)


def _take_answer(facts: Facts, event: ReadAnswered, index: int) -> None:
    read = facts.reads[event.op]
    read.answer, read.index = event, index


def _take_refusal(facts: Facts, event: ReadRefused, index: int) -> None:
    read = facts.reads[event.op]
    read.refusal, read.index = event, index


def _take_failure(facts: Facts, event: WriteFailed, _: int) -> None:
    for one in facts.writes[event.op]:
        one.failed = True


def _take_loss(facts: Facts, event: WritesLost, _: int) -> None:
    facts.lost = True
    for op in event.ops:
        for one in facts.writes[op]:
            one.lost_from = event.epoch


def _take_write(facts: Facts, event: WriteSent, index: int) -> None:
    items: list[Written] = []
    last: dict[tuple[str, int | None], Written] = {}
    for item in event.items:
        written = Written(event.op, (event.tenant, item.key), item.event_time, item.value, index)
        earlier = last.get((item.key, item.event_time))
        if earlier is not None:
            earlier.replaced = True
        last[item.key, item.event_time] = written
        items.append(written)
        facts.places.setdefault(written.place, []).append(written)
        if item.value is not None:
            facts.values[item.value] = written
    facts.writes[event.op] = items


def _acknowledge(facts: Facts, event: WriteAcknowledged, index: int) -> None:
    token = position_of(event.token)
    for one in facts.writes[event.op]:
        # A repeat is acknowledged again; the first time is the one that counts.
        if one.acked == NEVER:
            one.acked, one.acked_at, one.token, one.created = index, event.at, token, event.created


_TAKE: dict[type, Callable[[Facts, Any, int], None]] = {
    WriteSent: _take_write,
    WriteAcknowledged: _acknowledge,
    WriteFailed: _take_failure,
    WritesLost: _take_loss,
    ReadSent: _take_read,
    ReadAnswered: _take_answer,
    ReadRefused: _take_refusal,
}
