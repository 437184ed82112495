"""What a tier of the checker found, as one JSON file: what the report shows and the figures are taken from."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from checker.history import History
from checker.verdict import Verdict

MOST_VIOLATIONS = 200  # that a file keeps; the number of all is kept beside them
MOST_EXCESS = 100_000  # claims of a source whose distance from the truth is kept


@dataclass(frozen=True, slots=True)
class Told:
    """A violation as people read it. `events` are the events that contradict each other, in words."""

    check: str
    what: str
    replay: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong way of doing it, and what noticed it. `killed_by` empty: nothing did in `seeds` seeds."""

    name: str
    killed_by: str
    seeds: int
    replay: str = ""


@dataclass(slots=True)
class Outcome:
    """The runs of one tier (`simulation`, `processes`, or `twin` for the naive formulas under the same schedule)."""

    tier: str
    runs: int = 0
    wall_seconds: float = 0.0
    virtual_seconds: float = 0.0  # 0: the tier runs in real time
    reads: int = 0
    answers: int = 0
    writes: int = 0
    claims: dict[str, int] = field(default_factory=dict)  # by source
    refusals: dict[str, int] = field(default_factory=dict)  # by reason
    faults: dict[str, int] = field(default_factory=dict)  # by kind
    broken: dict[str, int] = field(default_factory=dict)  # violations by check
    violations: list[Told] = field(default_factory=list)
    excess: dict[str, list[int]] = field(default_factory=dict)  # claim less truth in nanoseconds, while nothing acts
    provable: int = 0
    claimed: int = 0
    mutants: list[Mutant] = field(default_factory=list)

    @property
    def false_claims(self) -> int:
        """Return how many claims were false."""
        return self.broken.get("C1", 0)

    @property
    def all_claims(self) -> int:
        """Return how many answers carried a claim."""
        return sum(self.claims.values())

    def add(self, history: History, verdict: Verdict, *, wall_seconds: float, virtual_seconds: float = 0.0) -> None:
        """Take in one run."""
        self.runs += 1
        self.wall_seconds += wall_seconds
        self.virtual_seconds += virtual_seconds
        self.reads += verdict.reads
        self.answers += verdict.answers
        self.writes += verdict.writes
        self.provable += verdict.provable
        self.claimed += verdict.claimed
        self._count(verdict.claims, verdict.refusals, verdict.faults, Counter(one.check for one in verdict.violations))
        self._keep(verdict.excess)
        for one in verdict.violations[: MOST_VIOLATIONS - len(self.violations)]:
            events = tuple(repr(history.events[index])[:300] for index in one.events if index < len(history.events))
            self.violations.append(Told(one.check, one.what, history.replay, events))

    def merge(self, other: Outcome) -> None:
        """Take in the runs of another outcome of this tier."""
        for name in ("runs", "wall_seconds", "virtual_seconds", "reads", "answers", "writes", "provable", "claimed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._count(other.claims, other.refusals, other.faults, other.broken)
        self._keep(other.excess)
        self.violations += other.violations[: MOST_VIOLATIONS - len(self.violations)]
        # A mutant is run again in each round; it is killed if it was killed in every one of them.
        known = {mutant.name: mutant for mutant in self.mutants}
        known |= {
            mutant.name: mutant for mutant in other.mutants if mutant.name not in known or known[mutant.name].killed_by
        }
        self.mutants = list(known.values())

    def _count(self, *more: Mapping[str, int]) -> None:
        for mine, theirs in zip((self.claims, self.refusals, self.faults, self.broken), more, strict=True):
            for name, number in theirs.items():
                mine[name] = mine.get(name, 0) + number

    def _keep(self, excess: Mapping[str, Sequence[int]]) -> None:
        for source, values in excess.items():
            kept = self.excess.setdefault(source, [])
            kept.extend(values[: MOST_EXCESS - len(kept)])

    def percentile(self, source: str, percent: float) -> float | None:
        """Return by how much claims of a source exceed the truth, in nanoseconds; None: there are no claims."""
        return percentile(self.excess.get(source, ()), percent)

    def dump(self, path: Path) -> None:
        """Write it to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), "utf-8")


def load(path: Path) -> Outcome:
    """Return the outcome of such a file."""
    kept = json.loads(path.read_text("utf-8"))
    kept["violations"] = [Told(**{**one, "events": tuple(one["events"])}) for one in kept["violations"]]
    kept["mutants"] = [Mutant(**one) for one in kept["mutants"]]
    return Outcome(**kept)


def percentile(values: Sequence[int], percent: float) -> float | None:
    """Return the least value that at least this share of the values does not exceed, or None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return float(ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1])
