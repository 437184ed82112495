"""A campaign of the simulation: mutants, the naive twin, and as many seeds as there is time for, on two processes."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from checker.history import History, dump
from checker.mutants import MUTANTS, Mutant
from checker.naive import naive
from checker.outcome import Mutant as Killed
from checker.outcome import Outcome
from checker.sim import clickhouse, pins
from checker.sim.clients import Pace
from checker.sim.installed import quiet
from checker.sim.loop import SimulationError
from checker.sim.pg import statements as postgres
from checker.sim.run import Plan, simulate
from checker.sim.story import tell
from checker.verdict import Verdict, check

WORKERS = 2
TWIN_SHARE = 80  # one seed in so many runs under the naive formulas too
LEAST_FAULTS, MOST_FAULTS = 2, 5


@dataclass
class Part:
    """What a worker gives back of one task."""

    simulation: Outcome = field(default_factory=lambda: Outcome("simulation"))
    twin: Outcome = field(default_factory=lambda: Outcome("twin"))
    cpu: float = 0.0
    failures: list[str] = field(default_factory=list)  # seeds that broke the simulation itself
    sample: History | None = None


def plan_of(seed: int) -> Plan:
    """Return what a seed of a campaign does: two faults at least."""
    return Plan(
        seed,
        span=0.9,
        warm=0.8,
        calm=0.8,
        readers=21,
        pace=Pace(0.2, 0.0235),
        count=LEAST_FAULTS + seed % (MOST_FAULTS - LEAST_FAULTS + 1),
    )


def replay_of(seed: int, mutant: str = "") -> str:
    """Return the command that runs one seed again and tells it."""
    more = f" MUTANT={mutant}" if mutant else ""
    return f"make replay SEED={seed}{more}"


def run_seeds(seeds: Sequence[int]) -> Part:
    """Run these seeds; for some of them the naive twin too."""
    part = Part()
    with quiet():
        for seed in seeds:
            try:
                _add(part.simulation, part, plan_of(seed), replay_of(seed))
                if seed % TWIN_SHARE == 0:
                    _add(part.twin, part, replace(plan_of(seed), mutate=naive), replay_of(seed, "naive"))
            except SimulationError as broken:
                part.failures.append(f"{replay_of(seed)}: {str(broken).strip().splitlines()[-1][:300]}")
    return part


def _add(outcome: Outcome, part: Part, plan: Plan, replay: str) -> Verdict:
    ran = simulate(plan)
    ran.history.replay = replay
    verdict = check(ran.history)
    outcome.add(ran.history, verdict, wall_seconds=ran.wall, virtual_seconds=ran.virtual)
    part.cpu += ran.cpu
    if outcome.tier == "simulation" and (part.sample is None or verdict.violations):
        part.sample = ran.history
    return verdict


def kill(name: str, first: int) -> Killed:
    """Run seeds of the mutant of this name until one of its checks notices it; the likeliest one first."""
    mutant = chosen(name)[0]
    for number in range(1, mutant.seeds + 1):
        seed = first + mutant.first + number - 2
        try:
            verdict = check(simulate(mutant.planned(seed)).history)
        except SimulationError as broken:
            # The mutation does not fit the product any more: it has to be written anew.
            return Killed(f"{mutant.name} broke a service: {str(broken).strip().splitlines()[-1][:200]}", "", number)
        found = {one.check for one in verdict.violations}
        for one in mutant.killed_by:
            if one in found:
                return Killed(mutant.name, one, number, replay_of(seed, mutant.name))
    return Killed(mutant.name, "", mutant.seeds, replay_of(first, mutant.name))


@dataclass
class Campaign:
    """All of it, with what was found so far."""

    seed: int
    seconds: float
    seeds: int | None
    whole: Part = field(default_factory=Part)
    begun: float = field(default_factory=time.perf_counter)
    told: float = 0.0

    def run(self, mutants: Sequence[Mutant]) -> None:
        """Work until the time or the seeds are used up."""
        # One seed a task: what it leaves is collected after it, which is a tenth faster than after eight. What the
        # workers have imported is never garbage, and no collection has to look at it.
        with ProcessPoolExecutor(WORKERS, initializer=gc.freeze) as pool:
            left, killing = list(mutants), set[Future[Killed]]()
            seeds, running = self._seeds(), set[Future[Part]]()
            while True:
                # Seeds and mutants in turn; what is left of the mutants goes on when the time of the seeds is over.
                while len(running) < WORKERS and (seed := next(seeds, None)) is not None:
                    running.add(pool.submit(run_seeds, [seed]))
                while left and len(killing) < WORKERS:
                    killing.add(pool.submit(kill, left.pop(0).name, self.seed))
                if not running and not killing:
                    break
                pending: list[Future[Any]] = [*running, *killing]
                done = wait(pending, return_when=FIRST_COMPLETED).done
                for part in [future for future in running if future in done]:
                    running.remove(part)
                    self._merge(part.result())
                for killed in [future for future in killing if future in done]:
                    killing.remove(killed)
                    self._killed(killed.result())
                self._progress()

    def _seeds(self) -> Iterator[int]:
        last = self.seed + (self.seeds if self.seeds is not None else 1 << 40)
        for seed in range(self.seed, last):
            if self._elapsed() > self.seconds:
                return
            yield seed

    def _elapsed(self) -> float:
        return time.perf_counter() - self.begun

    def _merge(self, part: Part) -> None:
        whole = self.whole
        whole.simulation.merge(part.simulation)
        whole.twin.merge(part.twin)
        whole.cpu += part.cpu
        whole.failures += part.failures
        if whole.sample is None or part.simulation.violations:
            whole.sample = part.sample or whole.sample

    def _killed(self, mutant: Killed) -> None:
        self.whole.simulation.mutants.append(mutant)
        if not mutant.killed_by:
            say(f"MUTANT ALIVE after {mutant.seeds} seeds: {mutant.name}")

    def _progress(self) -> None:
        if self._elapsed() - self.told < 10:
            return
        self.told = self._elapsed()
        say(f"{self.told:5.0f} s: {self.line()}")

    def line(self) -> str:
        """Return what was done so far."""
        simulation, twin = self.whole.simulation, self.whole.twin
        killed = sum(bool(one.killed_by) for one in simulation.mutants)
        return (
            f"{simulation.runs} seeds, {sum(simulation.faults.values())} faults, {simulation.all_claims:,} claims,"
            f" {simulation.false_claims} false; mutants {killed}/{len(simulation.mutants)} killed;"
            f" twin {twin.false_claims} false of {twin.all_claims:,}"
        )

    def problems(self) -> list[str]:
        """Return what makes the campaign fail."""
        whole, wrong = self.whole, list[str]()
        for told in whole.simulation.violations[:20]:
            wrong.append(f"{told.check} {told.what}\n    {told.replay}")
        wrong += whole.failures[:20]
        wrong += [
            f"mutant alive: {one.name}\n    {one.replay}" for one in whole.simulation.mutants if not one.killed_by
        ]
        if whole.twin.all_claims and not whole.twin.false_claims:
            wrong.append("the naive twin made no false claim: the schedules are too mild")
        return wrong

    def say(self) -> None:
        """Print the figures."""
        simulation, took = self.whole.simulation, self._elapsed()
        share = simulation.claimed / simulation.provable if simulation.provable else float("nan")
        say(f"P15 {share:.4f} ({simulation.claimed:,} answers with a claim / {simulation.provable:,} provable)")
        say(f"P16 {simulation.false_claims} false of {simulation.all_claims:,} claims in {simulation.runs} seeds")
        killed = [one for one in simulation.mutants if one.killed_by]
        seeds = max((one.seeds for one in killed), default=0)
        say(f"P17 {len(killed)}/{len(simulation.mutants)} mutants killed, at most {seeds} seeds")
        rate = simulation.virtual_seconds / max(self.whole.cpu, 1e-9)
        say(
            f"P25 {simulation.virtual_seconds / max(took, 1e-9):.0f} virtual seconds a wall second on {WORKERS}"
            f" processes, with all that ran beside; {rate:.0f} a CPU second"
        )
        say(f"{took:.0f} s: {self.line()}")


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Run a campaign, or one seed again, and return the exit status."""
    parser = argparse.ArgumentParser(prog="checker.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seconds", type=float, default=None, help="how long to begin new seeds")
    parser.add_argument("--seeds", type=int, default=None, help="how many seeds at most")
    parser.add_argument("--out", type=Path, default=None, help="a folder for the outcome")
    parser.add_argument("--mutants", default="all", help="all, none, or names with commas")
    parser.add_argument("--replay", action="store_true", help="run only the seed and tell what happened")
    parser.add_argument("--mutant", default="", help="of a replay: what is broken; naive: the twin")
    parser.add_argument("--accept", action="store_true", help="pin the product's statements as they are now")
    asked = parser.parse_args(arguments)
    if asked.accept:
        pins.accept({"postgres": postgres.handled(), "clickhouse": clickhouse.handled()})
        return 0
    if asked.replay:
        return replay(asked.seed, asked.mutant, asked.out)
    seconds = asked.seconds or (240.0 if asked.seeds is None else float("inf"))
    campaign = Campaign(asked.seed, seconds, asked.seeds)
    campaign.run(chosen(asked.mutants))
    campaign.say()
    if asked.out is not None:
        _leave(campaign, asked.out)
    wrong = campaign.problems()
    for line in wrong:
        say(f"FAILED {line}")
    return 1 if wrong else 0


def chosen(names: str) -> list[Mutant]:
    """Return the mutants that are meant. Raises SystemExit for a name that is none."""
    if names in ("all", "none"):
        return list(MUTANTS) if names == "all" else []
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := set(names.split(",")) - set(by_name):
        raise SystemExit(f"no mutants {sorted(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in names.split(",")]


def _leave(campaign: Campaign, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = campaign.whole
    whole.simulation.wall_seconds = time.perf_counter() - campaign.begun
    whole.simulation.dump(folder / "simulation.json")
    whole.twin.dump(folder / "twin.json")
    if whole.sample is not None:
        dump(whole.sample, folder / "simulation.jsonl")


def replay(seed: int, mutant: str, folder: Path | None) -> int:
    """Run one seed again, tell its story, and return 1 if a check finds something."""
    if mutant == "naive":
        plan = replace(plan_of(seed), mutate=naive)
    else:
        plan = chosen(mutant)[0].planned(seed) if mutant else plan_of(seed)
    try:
        ran = simulate(plan)
    except SimulationError as broken:
        say(str(broken))
        return 1
    ran.history.replay = replay_of(seed, mutant)
    verdict = check(ran.history)
    for line in tell(ran, verdict):
        say(line)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        dump(ran.history, folder / "simulation.jsonl")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
