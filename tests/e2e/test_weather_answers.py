"""The questions about the weather reports have their known answers in every copy."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from atlas_cli.answers.run import Plan, ask_all
from atlas_cli.answers.texts import difference, known_answers
from atlas_cli.demo.run import Stopwatch
from atlas_local.launch import Launched
from rich.console import Console


@pytest.fixture(scope="module")
def reports(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole set of weather reports: what the demo has of it, and the rest."""
    folder = tmp_path_factory.mktemp("sets") / "metar"
    folder.mkdir()
    for part in ("libs/atlas_cli/data/metar", "tests/fixtures/metar"):
        for file in (root / part).glob("*.csv.gz"):
            shutil.copy(file, folder)
    return folder.parent


@pytest.mark.timeout(600)
async def test_the_weather_reports_answer_as_known_when_they_came_twice(atlas: Launched, reports: Path) -> None:
    told = io.StringIO()
    wrong = await ask_all(atlas, reports, Stopwatch(Console(file=told, width=200)), Plan(("metar",), twice=True))
    assert wrong == [], told.getvalue()
    assert told.getvalue().count(": equal") == 5 * 3 + 5


def test_a_wrong_answer_is_told_by_its_place() -> None:
    _, known = known_answers()["M-A2"]
    assert difference(known, known) == ""
    assert "12189" in difference(known.replace("12,188", "12,189"), known)
    assert "14.91" in difference(known.replace("14.9044", "14.91"), known)
    assert difference(known.replace("14.9044", "14.90440001"), known) == ""
    assert "words instead of" in difference(known.rpartition(";")[0], known)
