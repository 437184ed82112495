"""The report of a run of the checker as one HTML file that needs nothing else: no network, no script, no mouse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from checker.history import History, load
from checker.index import facts_of
from checker.outcome import Mutant, Outcome
from checker.outcome import load as outcome_of
from checker.timeline import SOURCES, drawn

NAMES = {
    "C1": "false claim",
    "C2": "phantom",
    "C3": "duplicates and counts",
    "C4": "sessions never go back",
    "C5": "tokens are honoured",
    "C6": "copies converge",
    "C7": "tenants are apart",
    "C8": "honest headers",
    "C9": "no torn requests",
    "C10": "recovery in time",
    "C11": "claims are tight",
    "C12": "event-time promise",
}
TIERS = {
    "simulation": "Simulation: the services' own code on a clock of its own",
    "processes": "Real processes with a relay on every link",
    "twin": "The naive twin: replay lag and ingestion times, under the same faults",
}

_STYLE = Path(__file__).with_name("report.css").read_text("utf-8")


def written(outcomes: Sequence[Outcome], path: Path, sample: History | None = None) -> None:
    """Write the report of these outcomes, with the timeline of `sample`, one of their runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(outcomes, sample), "utf-8")


def page(outcomes: Sequence[Outcome], sample: History | None = None) -> str:
    """Return the report as text."""
    real = [one for one in outcomes if one.tier != "twin"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Atlas: freshness checked</title>',
        f'<style>{_STYLE}</style></head><body><a class="skip" href="#timeline">Skip to the timeline</a><main>',
        "<h1>Freshness checked</h1>",
        _summary(real, outcomes),
        *(_tier(one) for one in outcomes),
        _timeline(sample),
        _checks(real),
        _mutants([mutant for one in outcomes for mutant in one.mutants]),
        _violations(real),
        "</main></body></html>",
    ]
    return "\n".join(parts)


def _summary(real: Sequence[Outcome], outcomes: Sequence[Outcome]) -> str:
    claims, false = sum(one.all_claims for one in real), sum(one.false_claims for one in real)
    others = sum(number for one in real for check, number in one.broken.items() if check != "C1")
    mutants = [mutant for one in outcomes for mutant in one.mutants]
    killed = sum(bool(mutant.killed_by) for mutant in mutants)
    twin = next((one for one in outcomes if one.tier == "twin"), None)
    cards = [
        ("claims checked", f"{claims:,}", ""),
        ("false claims", f"{false:,}", "bad" if false else "good"),
        ("other violations", f"{others:,}", "bad" if others else "good"),
        ("runs", f"{sum(one.runs for one in real):,}", ""),
        ("mutants killed", f"{killed} of {len(mutants)}", "good" if mutants and killed == len(mutants) else ""),
        (
            "naive twin: false claims",
            "not run" if twin is None else f"{twin.false_claims:,} of {twin.all_claims:,}",
            "",
        ),
    ]
    inside = "".join(f'<div><dt>{name}</dt><dd class="{kind}">{text}</dd></div>' for name, text, kind in cards)
    return f'<dl class="cards" id="summary">{inside}</dl>'


def _tier(one: Outcome) -> str:
    rows = [
        (
            source,
            f"{one.claims.get(source, 0):,}",
            *(_milliseconds(one.percentile(source, percent)) for percent in (50, 99, 100)),
        )
        for source in SOURCES
    ]
    time = f"{one.wall_seconds:,.0f} s"
    if one.virtual_seconds:
        time += f", {one.virtual_seconds:,.0f} s of virtual time"
    share = f"{one.claimed / one.provable:.4f}" if one.provable else "unknown"
    told = (
        f"{one.runs:,} run{'' if one.runs == 1 else 's'} in {time}; {one.writes:,} writes, {one.reads:,} reads,"
        f" {one.answers:,} answers; share with a claim {share}; faults: {_listed(one.faults)};"
        f" refusals: {_listed(one.refusals)}"
    )
    table = _table(
        "Claims, and by how much they exceed the true staleness while no fault acts",
        ("source", "claims", "p50", "p99", "most"),
        rows,
    )
    return f'<h2 id="{one.tier}">{TIERS.get(one.tier, escape(one.tier))}</h2><p>{told}.</p>{table}'


def _timeline(sample: History | None) -> str:
    drawing = drawn(facts_of(sample)) if sample is not None else ""
    if not drawing or sample is None:
        return '<h2 id="timeline">One run</h2><p>No run was kept.</p>'
    key = "".join(
        f'<span style="background:var(--{colour})"></span>{text}'
        for colour, text in (("claim", "claimed staleness"), ("true", "true staleness"), ("fault", "fault"))
    )
    return (
        f'<h2 id="timeline">One run of the tier {escape(sample.tier)}, seed {sample.seed}</h2>'
        f'<p class="key">Every claim lies on or above the truth below it.{key}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Timeline, scrolls sideways">{drawing}</div>'
        f"<details><summary>The command that makes this run again</summary><pre>{escape(sample.replay)}</pre></details>"
    )


def _checks(real: Sequence[Outcome]) -> str:
    rows = [(check, name, *(f"{one.broken.get(check, 0):,}" for one in real)) for check, name in NAMES.items()]
    return "<h2>Checks</h2>" + _table("Violations", ("check", "what", *(one.tier for one in real)), rows, numbers=2)


def _mutants(mutants: Sequence[Mutant]) -> str:
    if not mutants:
        return "<h2>Mutants</h2><p>None were run.</p>"
    rows = [(one.name, one.killed_by or "alive", f"{one.seeds}") for one in mutants]
    return "<h2>Mutants</h2>" + _table(
        "Wrong ways, and the check that notices", ("mutant", "killed by", "seeds"), rows, numbers=2
    )


def _violations(real: Sequence[Outcome]) -> str:
    told = [(one.tier, violation) for one in real for violation in one.violations]
    parts = []
    for tier, violation in told:
        events = "".join(f"<li>{escape(one)}</li>" for one in violation.events)
        parts.append(
            f"<details><summary>{escape(tier)}: {violation.check} {escape(violation.what)}</summary>"
            f"<pre>{escape(violation.replay)}</pre><ol>{events}</ol></details>"
        )
    return '<h2 id="violations">Violations</h2>' + ("".join(parts) or "<p>None.</p>")


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 1) -> str:
    """Return a table whose columns from `numbers` on are numbers."""

    def cells(row: Sequence[str], tag: str, scope: str) -> str:
        return "".join(
            f"<{tag}{scope}{' class=n' if index >= numbers else ''}>{escape(text)}</{tag}>"
            for index, text in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td', '')}</tr>" for row in rows)
    head = cells(heads, "th", " scope=col")
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{escape(name)} {number:,}" for name, number in sorted(counts.items())) or "none"


def _milliseconds(nanoseconds: float | None) -> str:
    return "-" if nanoseconds is None else f"{nanoseconds / 1e6:,.1f} ms"


def main(folder: Path) -> Path:
    """Write the report of what lies in a folder of outcomes and return its path."""
    outcomes = [outcome_of(folder / f"{tier}.json") for tier in TIERS if (folder / f"{tier}.json").exists()]
    sample = next((folder / name for name in ("processes.jsonl", "simulation.jsonl") if (folder / name).exists()), None)
    target = folder / "report.html"
    written(outcomes, target, load(sample) if sample else None)
    return target
