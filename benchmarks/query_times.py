"""Times of questions by way and round, and what follows from them."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.figures import Figure
from benchmarks.hot_attributes import quantile
from benchmarks.query_arms import Question
from benchmarks.query_ways import Way


class Times:
    """Milliseconds by kind of question and way, in rounds."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[str, str], list[list[float]]] = defaultdict(lambda: [[]])

    async def ask(self, question: Question, ways: Mapping[str, Way], turn: int) -> None:
        """Ask a question in every way, another one first from turn to turn. Raises if two answers differ.

        A way that returns None has no answer of its own to compare."""
        names = list(ways)
        answers: dict[str, Any] = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.perf_counter()
            answers[name] = await ways[name](question)
            self.add(question.kind, name, (time.perf_counter() - began) * 1000)
        told = {name: answer for name, answer in answers.items() if answer is not None}
        if any(answer != told["router"] for answer in told.values()):
            raise RuntimeError(f"{question.kind} {question.request}: answers differ: {told}")

    def add(self, kind: str, way: str, took: float) -> None:
        """Add a time to the present round."""
        self._rounds[kind, way][-1].append(took)

    def next_round(self) -> None:
        """Begin another round."""
        for rounds in self._rounds.values():
            rounds.append([])

    def forget(self) -> None:
        """Drop all times: they were those of a warming up."""
        self._rounds.clear()

    def with_all(self, others: Times) -> Times:
        """Return these times and those of other kinds."""
        both = Times()
        both._rounds |= {**self._rounds, **others._rounds}
        return both

    def ways(self, kind: str) -> list[str]:
        """Return the ways of a kind."""
        return [way for one, way in self._rounds if one == kind]

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of questions."""
        return list(dict.fromkeys(kind for kind, _ in self._rounds))

    def all(self, kind: str, way: str) -> list[float]:
        """Return all times of a way."""
        return [took for one in self._rounds[kind, way] for took in one]

    def ratios(self, kind: str, way: str, beside: str) -> list[float]:
        """Return the ratio of the medians of two ways in each round."""
        pairs = zip(self._rounds[kind, way], self._rounds[kind, beside], strict=True)  # the last one may be empty
        return [statistics.median(ours) / statistics.median(theirs) for ours, theirs in pairs if ours]

    def difference(self, kind: str, way: str, beside: str) -> float:
        """Return by how many milliseconds the median of one way is greater."""
        return statistics.median(self.all(kind, way)) - statistics.median(self.all(kind, beside))

    def lines(self, heading: str) -> list[str]:
        """Return a line for each kind and way."""
        return [
            f"{heading:10} {kind:30} {way:9} p50 {quantile(all_, 0.5):9.2f}  p95 {quantile(all_, 0.95):9.2f}  "
            f"p99 {quantile(all_, 0.99):9.2f} ms  {len(all_)} times"
            for kind in self.kinds
            for way in self.ways(kind)
            if (all_ := self.all(kind, way))
        ]


def added(times: Times, what: str) -> Figure:
    """Return P18 of one source: the kind of question with the worst ratio, and all of them in the detail."""
    every = {kind: times.ratios(kind, "router", "same") for kind in times.kinds}
    worst = max(every, key=lambda kind: statistics.median(every[kind]))
    told = ", ".join(
        f"{kind} {statistics.median(ratios):.2f} ({times.difference(kind, 'router', 'same'):+.1f} ms)"
        for kind, ratios in every.items()
    )
    return Figure.of(every[worst], "<= 1.25", f"p50 through the router / its statement at the {what}, {worst}", told)


def filters_beside(times: Times, kinds: Sequence[str], beside: str, goal: str, what: str) -> Figure:
    """Return p99 of the router over these filters together beside another way's; the range is that of the filters."""
    ratios = [quantile(times.all(kind, "router"), 0.99) / quantile(times.all(kind, beside), 0.99) for kind in kinds]
    ours, theirs = (
        quantile([took for kind in kinds for took in times.all(kind, way)], 0.99) for way in ("router", beside)
    )
    detail = f"{ours:.2f} / {theirs:.2f} ms; the range is that of the filters"
    return replace(Figure.of(ratios, goal, what, detail), value=ours / theirs)
