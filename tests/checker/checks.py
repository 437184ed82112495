"""The checks C1 to C12: pure functions over a history. A violation names the events that contradict each other.

C1 is the one that must never fail: a claim of staleness F, of a request sent at i, is false if a write acknowledged at
or before i - F is not reflected in the answer. The others keep it honest: C1 alone is satisfied by refusing everything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from checker.history import (
    COUNT,
    CURRENT,
    HISTORY,
    POSTGRES,
    CopyCounted,
    ReadAnswered,
    WriteSent,
)
from checker.index import NEVER, Facts, Place, Read, Written, position_of


class Violation(NamedTuple):
    """One contradiction. `events` are places in the history; the last is where it came to light."""

    check: str
    what: str
    events: tuple[int, ...]


def false_claims(facts: Facts) -> Iterator[Violation]:
    """C1: a write acknowledged at or before the sending less the claim is reflected or superseded."""
    for read, answer in answered(facts):
        missing = read.missing
        if answer.claim is None or missing is None:
            continue
        assert isinstance(missing.measure, int)
        beyond = read.sent.at - answer.claim - missing.measure
        if beyond >= 0:
            shown = "nothing" if missing.shown is None else f"value {missing.shown.value}"
            yield Violation(
                "C1",
                f"{answer.source} claimed at most {ms(answer.claim)} and showed {shown} of {_named(missing.written)},"
                f" acknowledged {ms(read.sent.at - missing.measure)} before the request was sent",
                (missing.written.sent, missing.written.acked, *read.events),
            )


def phantoms(facts: Facts) -> Iterator[Violation]:
    """C2: each value that is shown was sent before the answer came, and is not of a write that failed or was lost."""
    for read, answer in answered(facts):
        for seen in answer.seen:
            written = facts.values.get(seen.value)
            problem = _phantom(written, seen.key, seen.event_time, read, answer)
            if problem is not None:
                origin = () if written is None else (written.sent,)
                yield Violation(
                    "C2", f"{answer.source} showed {seen.value} of {seen.key}: {problem}", origin + read.events
                )


def _phantom(written: Written | None, key: str, event_time: int, read: Read, answer: ReadAnswered) -> str | None:
    if written is None:
        return "nobody wrote it"
    if written.place[1] != key or written.event_time != event_time:
        return f"it was written to {_named(written)}"
    if written.sent > read.index:
        return "it was written only afterwards"
    if written.failed:
        return "its write was said to have failed"
    if written.replaced:
        return "a later item of its own request replaced it"
    if written.lost_from is not None and answer.claim is not None and (answer.epoch or 0) >= written.lost_from:
        return f"a claim of epoch {answer.epoch} shows what the failover lost"
    return None


def duplicates(facts: Facts) -> Iterator[Violation]:
    """C3: no observation comes twice or unasked, and a count is at most what can have been written."""
    for read, answer in answered(facts):
        sent = read.sent
        if sent.shape == COUNT:
            possible = _possible(facts, read)
            if (answer.rows or 0) > possible:
                yield Violation(
                    "C3", f"{answer.source} counted {answer.rows} of at most {possible} observations", read.events
                )
            continue
        marks = Counter(one.key if sent.shape == CURRENT else (one.key, one.event_time) for one in answer.seen)
        for mark, times in marks.items():
            if times > 1:
                yield Violation("C3", f"{answer.source} showed {mark} {times} times", read.events)
        for key in {one.key for one in answer.seen} - set(sent.keys):
            yield Violation("C3", f"{answer.source} showed {key}, which was not asked for", read.events)


def _possible(facts: Facts, read: Read) -> int:
    """Return how many observations of the keys can have been there when the answer came."""
    tenant = read.sent.tenant
    return sum(
        len({one.event_time for one in facts.places.get((tenant, key), ()) if _may_count(one, read)})
        for key in read.sent.keys
    )


def _may_count(one: Written, read: Read) -> bool:
    return one.value is not None and not one.failed and one.sent < read.index


def sessions(facts: Facts) -> Iterator[Violation]:
    """C4: a read of a session shows no less than what the session wrote or saw before it was sent."""
    for known in _by_session(facts).values():
        best: dict[Place, Written] = {}
        pending: dict[int, dict[Place, Written]] = {}
        for _, read, written in known:
            for one in written:
                earlier = best.get(one.place)
                if earlier is None or _rank(one) > _rank(earlier):
                    best[one.place] = one
            if read is None:
                continue
            if read.sent.op not in pending:
                places = ((read.sent.tenant, key) for key in read.sent.keys)
                pending[read.sent.op] = {place: best[place] for place in places if place in best}
            else:
                yield from _went_back(facts, read, pending.pop(read.sent.op))


_Known = tuple[int, Read | None, tuple[Written, ...]]


def _by_session(facts: Facts) -> dict[str, list[_Known]]:
    """Return by session, in order: what it came to know (its writes, what it was shown), and the ends of its reads."""
    found: dict[str, list[_Known]] = defaultdict(list)
    for read, _ in answered(facts):
        if read.sent.session and read.sent.shape != COUNT:
            shown = tuple(one for line in facts.shown(read).values() for one in line.values())
            found[read.sent.session] += [(read.sent_index, read, ()), (read.index, read, ()), (read.index, None, shown)]
    owners = {event.op: event.session for event in facts.history.events if isinstance(event, WriteSent)}
    for op, items in facts.writes.items():
        if owners[op] and items and items[0].acked < NEVER:
            written = tuple(one for one in items if one.value is not None and not one.replaced)
            found[owners[op]].append((items[0].acked, None, written))
    for known in found.values():
        known.sort(key=lambda one: (one[0], one[1] is None))
    return found


def _went_back(facts: Facts, read: Read, before: dict[Place, Written]) -> Iterator[Violation]:
    assert read.answer is not None
    shown = facts.shown(read)
    for place, known in before.items():
        if _lost_to(known, read.answer) or facts.line(place).may_be_deleted(known, read.index):
            continue
        if _reflects(read, known, shown.get(place, {})):
            continue
        yield Violation(
            "C4",
            f"{read.answer.source} went back in session {read.sent.session}: it does not show {_named(known)},"
            f" value {known.value}, or a later one",
            (known.sent, *read.events),
        )


def _lost_to(written: Written, answer: ReadAnswered) -> bool:
    return written.lost_from is not None and (answer.epoch or 0) >= written.lost_from


def _reflects(read: Read, written: Written, shown: dict[int, Written]) -> bool:
    """Tell whether an answer that shows this of a key reflects the item, or may do so."""
    moment = written.event_time or 0
    if read.sent.shape == HISTORY:
        if not (read.sent.start is None or moment >= read.sent.start):
            return True
        if not (read.sent.end is None or moment < read.sent.end):
            return True
        there = shown.get(moment)
        return there is not None and there.acked > written.sent
    newest = shown[max(shown)] if shown else None
    return newest is not None and _rank(written) <= (newest.event_time or 0, newest.acked)


def tokens(facts: Facts) -> Iterator[Violation]:
    """C5: an answer to a request with a token reflects every write whose position is at or below that token."""
    for read, answer in answered(facts):
        token = position_of(read.sent.token) if read.sent.token else None
        if token is None:
            continue
        if (answer.epoch or token[0]) < token[0]:
            yield Violation("C5", f"{answer.source} answered in epoch {answer.epoch} to {read.sent.token}", read.events)
        missing = facts.first_missing(read, by_token=True)
        if missing is not None and missing.measure <= token:  # type: ignore[operator]
            yield Violation(
                "C5",
                f"{answer.source} does not reflect {_named(missing.written)}, which {read.sent.token} covers",
                (missing.written.sent, missing.written.acked, *read.events),
            )


def divergence(facts: Facts) -> Iterator[Violation]:
    """C6: once all is quiet every copy holds the same rows of every tenant and day."""
    counted: dict[tuple[int, str], dict[str, tuple[int, CopyCounted]]] = defaultdict(dict)
    copies: set[str] = set()
    for index, event in enumerate(facts.history.events):
        if isinstance(event, CopyCounted):
            copies.add(event.copy)
            counted[event.tenant, event.day][event.copy] = index, event
    for (tenant, day), by_copy in counted.items():
        held = {name: (event.rows, event.fingerprint) for name, (_, event) in by_copy.items()}
        if len(set(held.values())) > 1 or set(held) != copies:
            told = ", ".join(f"{name} {held[name][0] if name in held else 'no'} rows" for name in sorted(copies))
            places = tuple(sorted(index for index, _ in by_copy.values()))
            yield Violation("C6", f"copies differ in tenant {tenant} on {day}: {told}", places)


def isolation(facts: Facts) -> Iterator[Violation]:
    """C7: no answer for a tenant shows a value of another."""
    for read, answer in answered(facts):
        for seen in answer.seen:
            written = facts.values.get(seen.value)
            if written is not None and written.place[0] != read.sent.tenant:
                what = f"{answer.source} showed tenant {read.sent.tenant} a value of tenant {written.place[0]}"
                yield Violation("C7", what, (written.sent, *read.events))


def headers(facts: Facts) -> Iterator[Violation]:
    """C8: what is not flagged meets its limit, what is flagged was allowed to be, and sources come in their order."""
    for read, answer in answered(facts):
        for problem in _dishonest(read, answer):
            yield Violation("C8", f"{answer.source}: {problem}", read.events)


def _dishonest(read: Read, answer: ReadAnswered) -> Iterator[str]:
    sent, claim = read.sent, answer.claim
    if claim is not None and claim <= 0:
        yield f"claimed {claim} ns: no copy is that fresh"
    meets = claim is not None and claim <= sent.limit
    if not answer.degraded and not meets:
        yield f"claimed {ms(claim)} within a limit of {ms(sent.limit)}, and is not flagged as degraded"
    if answer.degraded and meets:
        yield "is flagged as degraded although it meets the limit"
    if answer.degraded and sent.policy != "degrade":
        yield f"is degraded under the policy {sent.policy}"
    if answer.source not in sent.sources:
        yield f"is not one of {', '.join(sent.sources)}"
        return
    unsaid = set(sent.sources[: sent.sources.index(answer.source)]) - {one.source for one in answer.passed_over}
    if unsaid and not answer.degraded:
        yield f"answered in place of {', '.join(sorted(unsaid))} without saying why"


def torn(facts: Facts) -> Iterator[Violation]:
    """C9: one answer of PostgreSQL shows a request whole or not at all."""
    for read, answer in answered(facts):
        if answer.source not in POSTGRES or read.sent.shape == COUNT:
            continue
        asked, shown = set(read.sent.keys), facts.shown(read)
        for op in {one.op for line in shown.values() for one in line.values()}:
            for item in facts.writes[op]:
                if item.value is None or item.replaced or item.place[1] not in asked:
                    continue
                if _reflects(read, item, shown.get(item.place, {})):
                    continue
                if not facts.line(item.place).may_be_deleted(item, read.index):
                    what = f"{answer.source} showed a part of request {op} and not {_named(item)}"
                    yield Violation("C9", what, (item.sent, *read.events))


def early_closes(facts: Facts) -> Iterator[Violation]:
    """C12: after a promise that no row created before E will still appear, none does, in the keys that were read."""
    promised: dict[Place, tuple[int, Read, set[int]]] = {}
    for read, answer in sorted(answered(facts), key=lambda pair: pair[0].index):
        if read.sent.shape != HISTORY or read.sent.start is not None or read.sent.end is not None:
            continue
        shown = facts.shown(read)
        for key in read.sent.keys:
            place = (read.sent.tenant, key)
            there = shown.get(place, {}).values()
            if place in promised:
                yield from _appeared(*promised[place], read, there)
            if answer.complete_before is not None and answer.complete_before >= promised.get(place, (0,))[0]:
                values = {one.value for one in there if one.value is not None}
                promised[place] = (answer.complete_before, read, values)


def _appeared(before: int, promise: Read, there: set[int], read: Read, now: Iterable[Written]) -> Iterator[Violation]:
    for one in now:
        if (
            one.created is not None
            and one.created < before
            and one.value not in there
            and promise.index < read.sent_index
        ):
            what = f"{_named(one)} appeared, created {before - one.created} us before what was promised to be complete"
            yield Violation("C12", what, (one.sent, *promise.events, *read.events))


def answered(facts: Facts) -> Iterator[tuple[Read, ReadAnswered]]:
    """Yield the reads that have an answer, in the order of their sending."""
    for read in facts.reads.values():
        if read.answer is not None:
            yield read, read.answer


def _rank(one: Written) -> tuple[int, int]:
    return one.event_time or 0, one.sent


def _named(one: Written) -> str:
    moment = "" if one.event_time is None else f" at {one.event_time}"
    return f"{one.place[1]}{moment} of tenant {one.place[0]} (request {one.op})"


def ms(nanoseconds: int | None) -> str:
    return "unknown" if nanoseconds is None else f"{nanoseconds / 1e6:.3f} ms"
