"""Run a campaign against the real parts: `python -m checker.processes --seed 7 --episodes 8`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from math import inf
from pathlib import Path

from checker.history import History, dump
from checker.outcome import Outcome
from checker.processes.campaign import LIMITS, Campaign, Run
from checker.processes.kinds import CHOICES, RARE
from checker.processes.schedule import drawn, read
from checker.processes.world import open_world
from checker.verdict import Verdict, check


def main(arguments: list[str]) -> int:
    """Run what the command line asks for, leave the outcome in the folder, and return 0 if no check found anything."""
    parser = argparse.ArgumentParser(prog="checker.processes", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--episodes", type=int, default=8, help="episodes to draw, of two faults each")
    parser.add_argument("--rare", action="store_true", help="draw also what takes long to recover from")
    parser.add_argument("--schedule", default="", help="the schedule itself, as a failure prints it")
    parser.add_argument("--calm", type=float, default=5.0, help="seconds without a fault at the beginning")
    parser.add_argument("--seconds", type=float, default=inf, help="no episode begins when so many are over")
    parser.add_argument("--out", type=Path, default=Path("build/check"))
    asked = parser.parse_args(arguments)
    begin = time.monotonic()
    schedule = read(asked.schedule) or drawn(asked.seed, {**CHOICES, **RARE} if asked.rare else CHOICES, asked.episodes)
    history = asyncio.run(run(Run(asked.seed, schedule, asked.calm, begin + asked.seconds)))
    verdict = check(history, LIMITS)
    outcome = Outcome("processes")
    outcome.add(history, verdict, wall_seconds=time.monotonic() - begin)
    outcome.dump(asked.out / "processes.json")
    dump(history, asked.out / "processes.jsonl")
    tell(history, verdict)
    return 1 if verdict.violations else 0


async def run(asked: Run) -> History:
    """Run one campaign in a world of its own and return its history."""
    with tempfile.TemporaryDirectory(prefix="atlas-campaign-") as folder:
        Path(folder).chmod(0o711)
        async with open_world(Path(folder), asked.seed) as world:
            return await Campaign(world, asked, lambda line: print(line, flush=True)).go()  # noqa: T201


def tell(history: History, verdict: Verdict) -> None:
    """Print the outcome; with a violation also the command that makes the run again."""
    told = [
        f"{verdict.writes} writes, {verdict.reads} reads, {verdict.answers} answers, claims {dict(verdict.claims)}",
        f"refusals {dict(verdict.refusals)}; faults {dict(verdict.faults)}",
        f"FALSE CLAIMS {verdict.false_claims}; violations {dict(Counter(one.check for one in verdict.violations))}",
    ]
    told += [f"  {one.check} {one.what} (events {one.events})" for one in verdict.violations[:20]]
    if verdict.violations:
        told.append(f"again: {history.replay}")
    print("\n".join(told), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
