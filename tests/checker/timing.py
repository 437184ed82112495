"""The checks of time: how soon claims come back after a fault (C10), and how far they lie above the truth (C11)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from checker.checks import Violation, answered, ms
from checker.history import FaultEnded, FaultStarted, Healed, History
from checker.index import NEVER, Facts, Read


class Slack(NamedTuple):
    """A claim beside the truth, in nanoseconds. `quiet`: no fault acted since the last recovery."""

    read: Read
    claim: int
    true: int
    quiet: bool

    @property
    def excess(self) -> int:
        """Return by how much the claim exceeds the true staleness."""
        return self.claim - self.true


def true_staleness(read: Read) -> int:
    """Return how old the newest write is that the answer misses, at the sending of the request; 0 if it misses none."""
    missing = read.missing
    if missing is None:
        return 0
    assert isinstance(missing.measure, int)
    return max(read.sent.at - missing.measure, 0)


def recovery(facts: Facts, limit: int) -> Iterator[Violation]:
    """C10: within `limit` of the last fault each class of reads has an answer that meets its budget again.

    A class is a use case with the sources it was asked of. Where the next fault came sooner nothing is concluded.
    """
    classes: dict[tuple[str, tuple[str, ...]], list[Read]] = defaultdict(list)
    for read in facts.reads.values():
        classes[read.sent.use_case, read.sent.sources].append(read)
    for healed, at, over in _healings(facts.history, limit):
        for (use_case, sources), reads in classes.items():
            tried = [read for read in reads if healed < read.sent_index and read.sent.at <= over]
            if any(_meets(read) and (read.answer or read.sent).at <= over for read in tried):
                continue
            if over < at + limit:
                continue
            seen = tuple(index for read in tried[-1:] for index in read.events)
            what = f"{use_case} of {', '.join(sources)} met its budget in none of {len(tried)} reads for {ms(limit)}"
            yield Violation("C10", what, (healed, *seen))


def _healings(history: History, limit: int) -> Iterator[tuple[int, int, int]]:
    """Yield the place and the time of each healing, and when its time to recover is over."""
    for index, event in enumerate(history.events):
        if isinstance(event, Healed):
            after = (later.at for later in history.events[index + 1 :] if isinstance(later, FaultStarted))
            yield index, event.at, min(event.at + limit, next(after, NEVER))


def _meets(read: Read) -> bool:
    answer = read.answer
    return answer is not None and not answer.degraded and answer.claim is not None and answer.claim <= read.sent.limit


def slacks(facts: Facts) -> list[Slack]:
    """Return every claim beside the truth (C11): a claim of an hour is true and useless."""
    quiet = quiet_reads(facts.history)
    return [
        Slack(read, answer.claim, true_staleness(read), quiet(read))
        for read, answer in answered(facts)
        if answer.claim is not None
    ]


def loose_claims(facts: Facts, limit: int) -> Iterator[Violation]:
    """C11: while no fault acts a claim exceeds the truth by at most `limit`."""
    for one in slacks(facts):
        if one.quiet and one.excess > limit:
            assert one.read.answer is not None
            what = f"{one.read.answer.source} claimed {ms(one.claim)} where the truth was {ms(one.true)}"
            yield Violation("C11", what, one.read.events)


def quiet_reads(history: History) -> Callable[[Read], bool]:
    """Return whether no fault acted while a read ran: before the first fault, or after a healing and before the next.

    The time between the end of a fault and the healing is not quiet: what broke is still recovering. Nor is what
    precedes a healing that no fault precedes, by which a controller says that the start is over.
    """
    spans: list[tuple[int, int]] = []
    begin: int | None = 0
    for index, event in enumerate(history.events):
        if isinstance(event, FaultStarted) and begin is not None:
            spans.append((begin, index))
            begin = None
        elif isinstance(event, Healed) and (begin is None or not spans):
            begin = index
    if begin is not None:
        spans.append((begin, NEVER))
    return lambda read: any(first <= read.sent_index and read.index < last for first, last in spans)


def fault_spans(history: History) -> list[tuple[FaultStarted, int]]:
    """Return each fault with the time at which it ended; one that never did ends with the history."""
    last = history.events[-1].at if history.events else 0
    ends = {event.number: event.at for event in history.events if isinstance(event, FaultEnded)}
    return [(event, ends.get(event.number, last)) for event in history.events if isinstance(event, FaultStarted)]
