"""All checks over one history, and what they found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from checker.checks import (
    Violation,
    divergence,
    duplicates,
    early_closes,
    false_claims,
    headers,
    isolation,
    phantoms,
    sessions,
    tokens,
    torn,
)
from checker.history import FaultStarted, History, WriteAcknowledged
from checker.index import Facts, Read, facts_of
from checker.timing import loose_claims, quiet_reads, recovery, true_staleness

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run is held to, in nanoseconds. `slack` None: how far claims lie above the truth is only measured.

    `tight`: the keys whose reads it is measured with; None: all. A key that is seldom written misses nothing however
    old its copy is, so its claims look looser than they are.
    """

    recovery: int = 30 * SECOND
    slack: int | None = None
    tight: frozenset[str] | None = None


@dataclass(slots=True)
class Verdict:
    """The outcome of all checks over one history. Counts of different runs add up; so do the lists."""

    violations: list[Violation] = field(default_factory=list)
    reads: int = 0
    answers: int = 0
    claims: Counter[str] = field(default_factory=Counter)  # by source
    refusals: Counter[str] = field(default_factory=Counter)  # by reason
    writes: int = 0
    faults: Counter[str] = field(default_factory=Counter)  # by kind
    excess: dict[str, list[int]] = field(default_factory=dict)  # nanoseconds, of quiet claims by source
    provable: int = 0  # quiet reads whose answer, or its absence, the checker knows to have been able to meet the limit
    claimed: int = 0  # those of them that carried a claim

    @property
    def false_claims(self) -> int:
        """Return how many violations are of C1."""
        return sum(one.check == "C1" for one in self.violations)

    def add(self, other: Verdict) -> None:
        """Take in the outcome of another run. Places of events in its violations are those of that run's history."""
        self.violations += other.violations
        self.reads += other.reads
        self.answers += other.answers
        self.claims += other.claims
        self.refusals += other.refusals
        self.writes += other.writes
        self.faults += other.faults
        for source, values in other.excess.items():
            self.excess.setdefault(source, []).extend(values)
        self.provable += other.provable
        self.claimed += other.claimed


def check(history: History, limits: Limits | None = None) -> Verdict:
    """Run every check over the history and return its verdict. Raises ValueError if its stamps are out of order."""
    disorder = history.disorder()
    if disorder is not None:
        raise ValueError(f"event {disorder} is stamped before the one in front of it: {history.events[disorder]}")
    facts = facts_of(history)
    limits = limits or Limits()
    verdict = counted(facts, limits.tight)
    for one in checks(limits):
        verdict.violations += one(facts)
    return verdict


def checks(limits: Limits) -> tuple[Callable[[Facts], Iterator[Violation]], ...]:
    """Return every check, with the limits filled in."""
    fixed = (
        false_claims,
        phantoms,
        duplicates,
        sessions,
        tokens,
        divergence,
        isolation,
        headers,
        torn,
        partial(recovery, limit=limits.recovery),
        early_closes,
    )
    return fixed if limits.slack is None else (*fixed, partial(loose_claims, limit=limits.slack))


def counted(facts: Facts, tight: frozenset[str] | None = None) -> Verdict:
    """Return the verdict of a history with its counts and no violations yet."""
    events = facts.history.events
    verdict = Verdict(
        reads=len(facts.reads),
        writes=sum(isinstance(event, WriteAcknowledged) for event in events),
        faults=Counter(event.kind for event in events if isinstance(event, FaultStarted)),
    )
    quiet = quiet_reads(facts.history)
    for read in facts.reads.values():
        _count(verdict, read, quiet=quiet(read), tight=tight is None or tight.issuperset(read.sent.keys))
    return verdict


def _count(verdict: Verdict, read: Read, *, quiet: bool, tight: bool) -> None:
    answer = read.answer
    if read.refusal is not None:
        verdict.refusals[read.refusal.reason] += 1
        # A healthy system can prove what it is asked for: a refusal is an answer without a claim.
        verdict.provable += quiet and read.refusal.freshness
    if answer is None:
        return
    verdict.answers += 1
    if answer.claim is not None:
        verdict.claims[answer.source] += 1
        if quiet and tight:
            verdict.excess.setdefault(answer.source, []).append(answer.claim - true_staleness(read))
    if true_staleness(read) <= read.sent.limit:
        verdict.provable += 1
        verdict.claimed += answer.claim is not None
