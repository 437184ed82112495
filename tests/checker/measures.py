"""The rows of the measures that a run of the checker gives; None: nothing was measured."""

from __future__ import annotations

from collections.abc import Sequence

from checker.outcome import Outcome

from benchmarks.figures import Figure

# What a beat and the wait of the sink for more rows take, in milliseconds: the grain of what OLAP can prove.
BEAT_AND_BATCH_MS = 100 + 30
NS_PER_MS = 1e6


def figures(outcomes: Sequence[Outcome]) -> dict[str, Figure | None]:
    """Return each row with what it measured."""
    return {
        "P13": excess(outcomes),
        "P15": share_of_claims(outcomes),
        "P16": false_claims(outcomes),
        "P17": mutants_killed(outcomes),
        "P25": pace(outcomes),
    }


def excess(outcomes: Sequence[Outcome]) -> Figure | None:
    """P13: how much older OLAP is claimed to be than it is, as seen by real processes while nothing acts on them."""
    tier = _tier(outcomes, "processes")
    if tier is None or (p99 := tier.percentile("olap", 99)) is None:
        return None
    p50 = tier.percentile("olap", 50) or 0
    return Figure.of(
        [p99 / NS_PER_MS / BEAT_AND_BATCH_MS],
        "<= 2.0",
        "p99 of claimed less true staleness of OLAP / beat and batch interval",
        f"{p99 / NS_PER_MS:.0f} / {BEAT_AND_BATCH_MS} ms, {len(tier.excess['olap'])} claims, p50"
        f" {p50 / NS_PER_MS:.0f} ms; real processes, calm",
    )


def share_of_claims(outcomes: Sequence[Outcome]) -> Figure | None:
    """P15: how many of the answers for which a claim can be proven have one."""
    tiers = _of_the_product(outcomes)
    provable = sum(one.provable for one in tiers)
    if not provable:
        return None
    return Figure.of(
        [sum(one.claimed for one in tiers) / provable],
        ">= 0.98",
        "answers with a claim / answers for which one can be proven",
        ", ".join(f"{one.tier} {one.claimed:,} / {one.provable:,}" for one in tiers),
    )


def false_claims(outcomes: Sequence[Outcome]) -> Figure | None:
    """P16: the false claims."""
    tiers = _of_the_product(outcomes)
    if not tiers:
        return None
    return Figure.of(
        [float(sum(one.false_claims for one in tiers))],
        "= 0",
        "false claims",
        ", ".join(f"{one.all_claims:,} claims in {one.runs:,} runs of {one.tier}" for one in tiers),
    )


def mutants_killed(outcomes: Sequence[Outcome]) -> Figure | None:
    """P17: the share of the mutants that a check found."""
    mutants = [mutant for one in outcomes for mutant in one.mutants]
    if not mutants:
        return None
    return Figure.of(
        [sum(bool(one.killed_by) for one in mutants) / len(mutants)],
        "= 1.0",
        "mutants killed / mutants",
        f"{len(mutants)} mutants, at most {max(one.seeds for one in mutants)} seeds",
    )


def pace(outcomes: Sequence[Outcome]) -> Figure | None:
    """P25: how much faster than the clock the simulation is."""
    tier = _tier(outcomes, "simulation")
    if tier is None or not tier.wall_seconds:
        return None
    return Figure.of(
        [tier.virtual_seconds / tier.wall_seconds],
        ">= 1000",
        "virtual seconds / wall second of the simulation",
        f"{tier.virtual_seconds:,.0f} s in {tier.wall_seconds:,.0f} s",
    )


def _tier(outcomes: Sequence[Outcome], name: str) -> Outcome | None:
    return next((one for one in outcomes if one.tier == name), None)


def _of_the_product(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return what is not the naive twin's, real processes first."""
    return [one for name in ("processes", "simulation") if (one := _tier(outcomes, name)) is not None]
