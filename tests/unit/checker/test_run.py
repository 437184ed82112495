"""A run of all tiers fails for whatever is wrong or missing, and its figures are those of its outcomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from checker import run
from checker.measures import figures
from checker.outcome import Mutant, Outcome, load
from checker.run import Tier, once, problems, soak

MS = 1_000_000


def outcomes() -> list[Outcome]:
    processes = Outcome("processes", runs=1, claims={"olap": 100}, excess={"olap": [130 * MS] * 98 + [260 * MS] * 2})
    processes.provable, processes.claimed = 100, 99
    simulation = Outcome("simulation", runs=1000, wall_seconds=10, virtual_seconds=20_000, claims={"olap": 900})
    simulation.mutants = [Mutant("a", "C1", 3), Mutant("b", "C5", 7)]
    return [processes, simulation, Outcome("twin", runs=1, claims={"olap": 10}, broken={"C1": 4})]


def test_the_figures_are_ratios_of_what_was_counted() -> None:
    found = {name: figure.value if figure else None for name, figure in figures(outcomes()).items()}
    assert found == {"P13": 2.0, "P15": 0.99, "P16": 0, "P17": 1.0, "P25": 2000}


def test_what_was_not_measured_is_no_figure() -> None:
    assert list(figures([]).values()) == [None] * 5


def test_a_good_run_has_no_problem() -> None:
    assert problems(outcomes()) == []


def test_violations_living_mutants_and_a_twin_that_never_lies_are_problems() -> None:
    processes, simulation, twin = outcomes()
    processes.broken = {"C4": 1}
    simulation.mutants.append(Mutant("c", "", 20))
    twin.broken = {}
    assert problems([processes, simulation, twin]) == [
        "processes: {'C4': 1}",
        "mutant alive: c",
        "the naive twin made no false claim",
    ]


def test_merged_outcomes_count_everything_once_and_a_mutant_must_die_in_every_round() -> None:
    processes, simulation, _ = outcomes()
    whole = Outcome("simulation")
    whole.merge(simulation)
    simulation.mutants = [Mutant("a", "", 20), Mutant("b", "C5", 1)]
    whole.merge(simulation)
    whole.merge(Outcome("simulation", mutants=[Mutant("a", "C1", 1)]))
    assert (whole.runs, whole.claims, whole.virtual_seconds) == (2000, {"olap": 1800}, 40_000)
    assert {mutant.name: mutant.killed_by for mutant in whole.mutants} == {"a": "", "b": "C5"}
    assert processes.runs == 1


TIER = """
import argparse, sys
from pathlib import Path
from checker.outcome import Outcome
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
parser.add_argument("--seed", type=int)
parser.add_argument("--seconds", type=float)
asked = parser.parse_args()
Outcome("toy", runs=1, claims={"olap": asked.seed}).dump(asked.out / "toy.json")
sys.exit(STATUS)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Tier:
    package = tmp_path / "toy"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(TIER.replace("STATUS", str(getattr(request, "param", 0))))
    monkeypatch.setattr(run, "PATHS", [*run.PATHS, tmp_path])
    monkeypatch.syspath_prepend(str(tmp_path))
    tier = Tier("toy", "toy")
    monkeypatch.setattr(run, "SIMULATION", Tier("away", "nowhere.to.be.found"))
    monkeypatch.setattr(run, "ALL_SEEDS", Tier("away", "nowhere.to.be.found"))
    monkeypatch.setattr(run, "PROCESSES", tier)
    monkeypatch.setattr(run, "SHORT_PROCESSES", tier)
    return tier


def test_a_tier_that_is_not_there_fails_the_run(toy: Tier, tmp_path: Path) -> None:
    assert toy.there
    assert once(7, tmp_path / "out") == ["the tier away is not there"]
    assert load(tmp_path / "out" / "toy.json").claims == {"olap": 7}


@pytest.mark.parametrize("toy", [3], indirect=True)
def test_a_tier_that_ends_badly_fails_the_run(toy: Tier, tmp_path: Path) -> None:
    assert once(7, tmp_path / "out")[:1] == ["the tier toy found something or did not end"]


def test_a_long_campaign_uses_new_seeds_adds_up_and_ends_by_itself(toy: Tier, tmp_path: Path) -> None:
    assert soak(1, 2.0, tmp_path / "out") == []
    whole = load(tmp_path / "out" / "toy.json")
    assert whole.runs >= 2
    assert whole.claims["olap"] == sum(1 + number * 100_000 for number in range(1, whole.runs + 1))
