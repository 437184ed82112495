"""A run as text: its faults, and around each violation what led to it."""

from __future__ import annotations

from collections.abc import Iterator

from checker import history as h
from checker.sim.loop import START
from checker.sim.run import Outcome
from checker.verdict import Verdict

MOST = 20  # violations that are told


def tell(ran: Outcome, verdict: Verdict) -> Iterator[str]:
    """Yield the lines of the story. Times are seconds of virtual time since the start."""
    events = ran.history.events
    yield f"seed {ran.history.seed}, mode {ran.mode}, {ran.virtual:.1f} virtual s in {ran.cpu:.2f} CPU s"
    yield f"digest {ran.digest()}"
    yield f"{verdict.reads} reads, {sum(verdict.claims.values())} claims, {verdict.writes} writes"
    yield from (line for event in events if (line := _befell(event)))
    if not verdict.violations:
        yield "no check found anything"
    for one in verdict.violations[:MOST]:
        yield f"{one.check}: {one.what}"
        for index in one.events:
            if index < len(events):
                yield f"    {_at(events[index])} {events[index]!r}"


def _befell(event: h.Event) -> str:
    if isinstance(event, h.FaultStarted):
        return f"{_at(event)} fault {event.number} begins: {event.kind} {event.target}"
    if isinstance(event, h.FaultEnded):
        return f"{_at(event)} fault {event.number} ends"
    if isinstance(event, h.Healed):
        return f"{_at(event)} all is healed"
    if isinstance(event, h.WritesLost):
        return f"{_at(event)} the failover into epoch {event.epoch} lost {len(event.ops)} acknowledged writes"
    return ""


def _at(event: h.Event) -> str:
    return f"{event.at / 1e9 - START:9.4f}"
