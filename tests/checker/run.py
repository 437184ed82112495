"""All tiers one after another, then the figures and the report; or again and again until a given time is over."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from checker.measures import figures
from checker.outcome import Outcome, load
from checker.report import main as write_report

from benchmarks.figures import say, store
from benchmarks.freshness import p14

ROOT = Path(__file__).parents[2]
PATHS = [ROOT / "tests", ROOT]  # where a tier finds its modules
OUT = Path("build/check")
GRACE = 180.0  # seconds that a tier may take longer than it was told, to start and to end
WHOLE = 575.0  # seconds of a run of all tiers; the figure of the replica comes after them, within ten minutes in all
SEEDS = 1000  # of the simulation, which takes what the real processes leave; what is left of it ends it
PROCESS_SHARE = 150.0  # seconds after which the real processes begin no episode any more
TO_END = 6.0  # seconds of them that the simulation keeps to end its last seeds and the report
REPLICA = 4.0  # seconds of reads of an idle and of a loaded replica
SHARE = 120.0  # seconds of each tier in a round of a long campaign


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier as a command; see README.md."""

    name: str
    module: str
    more: tuple[str, ...] = ()

    @property
    def there(self) -> bool:
        """Whether its module exists."""
        try:
            return importlib.util.find_spec(f"{self.module}.__main__") is not None
        except ModuleNotFoundError:
            return False

    def run(self, seed: int, seconds: float, out: Path) -> int:
        """Run it and return its status; one that does not end by itself is killed and counts as failed."""
        command = [sys.executable, "-m", self.module, "--out", str(out), "--seed", str(seed)]
        command += ["--seconds", f"{seconds:g}", *self.more]
        paths = os.pathsep.join(map(str, PATHS))
        # A session of its own, so that its own children end with it.
        tier = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, start_new_session=True)
        try:
            return tier.wait(seconds + GRACE)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end within {seconds + GRACE:.0f} s")
            return 1
        finally:
            if tier.poll() is None:
                os.killpg(tier.pid, signal.SIGKILL)
                tier.wait()


SIMULATION = Tier("simulation", "checker.sim")
ALL_SEEDS = Tier("simulation", "checker.sim", ("--seeds", str(SEEDS)))
PROCESSES = Tier("processes", "checker.processes", ("--episodes", "5", "--calm", "5"))
SHORT_PROCESSES = Tier("processes", "checker.processes", ("--episodes", "4", "--calm", "5", "--rare"))


def main(arguments: Sequence[str]) -> int:
    """Run all tiers once, or for `--soak` seconds, and return 0 if nothing was found and nothing is missing."""
    parser = argparse.ArgumentParser(prog="checker.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of a long campaign")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    for old in asked.out.glob("*.json*"):
        old.unlink()
    begin = time.monotonic()
    failed = soak(asked.seed, asked.soak, asked.out) if asked.soak else once(asked.seed, asked.out)
    outcomes = [load(path) for path in sorted(asked.out.glob("*.json"))]
    found = figures(outcomes)
    if not asked.soak:
        found["P14"] = asyncio.run(p14(pairs=1, seconds=REPLICA))
    # On the page P13 and P14 are those of `make bench-freshness`: longer, and without relays.
    store("freshness", {name: figure for name, figure in found.items() if figure and name not in {"P13", "P14"}})
    for name in sorted(found):
        figure = found[name]
        say(f"{name} not measured" if figure is None else figure.line(name))
    say(f"{time.monotonic() - begin:.0f} s; report: {write_report(asked.out)}")
    wrong = [*failed, *problems(outcomes)]
    for line in wrong:
        say(f"FAILED: {line}")
    return 1 if wrong else 0


def once(seed: int, out: Path) -> list[str]:
    """Run each tier once and return what failed."""
    failed, end = [], time.monotonic() + WHOLE
    for tier in (PROCESSES, ALL_SEEDS):
        left = PROCESS_SHARE if tier is PROCESSES else max(end - time.monotonic() - TO_END, 60.0)
        if not tier.there:
            failed.append(f"the tier {tier.name} is not there")
        elif tier.run(seed, left, out):
            failed.append(f"the tier {tier.name} found something or did not end")
    return failed


def soak(seed: int, seconds: float, out: Path) -> list[str]:
    """Alternate between the tiers with seeds that were not used yet until the time is over; return what failed.

    Each round is a process of its own, and of its outcome only sums, and a bounded number of violations, are kept."""
    end, failed, number = time.monotonic() + seconds, list[str](), 0
    whole: dict[str, Outcome] = {}
    while not number or time.monotonic() < end:
        number += 1
        for tier in (one for one in (SIMULATION, SHORT_PROCESSES) if one.there):
            left = min(max(end - time.monotonic(), 30.0), SHARE)
            if tier.run(seed + number * 100_000, left, out / "round"):
                failed.append(f"round {number} of the tier {tier.name}")
        for path in sorted((out / "round").glob("*.json")):
            outcome = load(path)
            whole.setdefault(outcome.tier, Outcome(outcome.tier)).merge(outcome)
            path.unlink()
        for name, outcome in whole.items():
            outcome.dump(out / f"{name}.json")
        say(progress(number, whole, end - time.monotonic()))
    for kept in (out / "round").glob("*.jsonl"):
        kept.replace(out / kept.name)
    return failed


def progress(number: int, whole: dict[str, Outcome], left: float) -> str:
    """Return a line of how far a long campaign is."""
    told = ", ".join(
        f"{name} {one.runs:,} runs {one.all_claims:,} claims {one.false_claims} false" for name, one in whole.items()
    )
    return f"round {number}: {told}; {max(left, 0):.0f} s left"


def problems(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what is wrong with a run as a whole: violations, mutants alive, a twin that never lied."""
    found = [f"{one.tier}: {dict(one.broken)}" for one in outcomes if one.tier != "twin" and any(one.broken.values())]
    found += [f"mutant alive: {mutant.name}" for one in outcomes for mutant in one.mutants if not mutant.killed_by]
    found += ["the naive twin made no false claim" for one in outcomes if one.tier == "twin" and not one.false_claims]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
