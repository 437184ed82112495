"""Figures of a benchmark: a ratio against its baseline with its range, as a line, as JSON and as a table."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
SECTION = "\n## "
NOTES = {
    "hot": "What a promotion does to commits (`make bench-promotion`): milliseconds from when each was due:",
    "ingest": "Where the time of a batch goes, CPU microseconds a value:",
    "query": "Milliseconds by source, question and way; `same`: the router's statement, straight at the store:",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of what pairs of runs gave, with their least and greatest, and what it is to be."""

    value: float
    low: float
    high: float
    goal: str
    pairs: int
    what: str
    detail: str = ""
    when: str = ""

    @classmethod
    def of(cls, values: Sequence[float], goal: str, what: str, detail: str = "") -> Figure:
        """Return the figure of these values."""
        return cls(
            statistics.median(values),
            min(values),
            max(values),
            goal,
            len(values),
            what,
            detail,
            datetime.now(UTC).isoformat(timespec="minutes"),
        )

    def line(self, name: str) -> str:
        """Return it for people."""
        text = f"{name} ratio {self.value:.2f} ({self.low:.2f}..{self.high:.2f}) goal {self.goal}"
        return f"{text}  {self.what}{'; ' + self.detail if self.detail else ''}"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def store(benchmark: str, figures: Mapping[str, Figure]) -> Path:
    """Write the figures to `build/bench/<benchmark>.json`; rows that were not measured now stay as they were there."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{benchmark}.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known |= {name: asdict(figure) for name, figure in figures.items()}
    known["measured"] = {"machine": machine()}
    path.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
    return path


def machine() -> str:
    """Return what the figures were taken on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, {platform.system()}, {python}"


def page(before: str = "") -> str:
    """Return `docs/benchmarks.md` as the stored figures make it; of `before`, what nothing is stored of here stays.

    A row of another machine goes when its table gets a new one."""
    sections = {text.partition("\n")[0]: text.rstrip("\n").splitlines() for text in before.split(SECTION)[1:]}
    for path in sorted(RESULTS.glob("*.json")):
        known = json.loads(path.read_text("utf-8"))
        heading = f"`make bench-{path.stem}`"
        sections[heading] = section(heading, known, sections.get(heading, ()), path.with_suffix(".notes"))
    lines = [
        "# Benchmarks",
        "",
        "Every figure is a ratio against the baseline named beside it, taken in the same run on the same machine: the",
        "median of the pairs, with the least and the greatest. The command in front of a table makes it again.",
    ]
    for heading in sorted(sections):
        first, *rest = sections[heading]
        lines += ["", f"{SECTION.strip()} {first}", *rest]
    return "\n".join(lines) + "\n"


def section(heading: str, known: dict[str, Any], before: Sequence[str], notes: Path) -> list[str]:
    """Return what the page says of one benchmark, its heading first and without the marks of one."""
    where = f"{known.pop('measured')['machine']}."
    rows = _rows(before) if where in before else {}
    rows |= {name: _row(name, Figure(**values)) for name, values in known.items()}
    lines = [heading, "", where, ""]
    lines += [
        "| # | ours / baseline | ratio | range | goal | detail | when, UTC |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [rows[name] for name in sorted(rows, key=lambda name: (int(name[1:].rstrip("abc")), name))]
    if notes.exists():
        lines += ["", NOTES.get(notes.stem, "Beside it:"), "", "```"]
        lines += [*notes.read_text("utf-8").splitlines(), "```"]
    elif "```" in before:
        lines += ["", *before[before.index("```") - 2 :]]
    return lines


def _rows(table: Sequence[str]) -> dict[str, str]:
    return {line.split(" ", 2)[1]: line for line in table if line.startswith("| P")}


def _row(name: str, figure: Figure) -> str:
    spread = f"{figure.low:.2f} to {figure.high:.2f}, {figure.pairs} pairs"
    when = figure.when.removesuffix("+00:00")
    return f"| {name} | {figure.what} | {figure.value:.2f} | {spread} | {figure.goal} | {figure.detail} | {when} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8") if PAGE.exists() else ""), "utf-8")
    say(f"wrote {PAGE.relative_to(ROOT)}")
