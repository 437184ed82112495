"""The page of benchmarks: what was not measured now stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.figures import Figure, page, store


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def measured(value: float) -> Figure:
    return Figure.of([value], ">= 1", "ours / theirs", "one / two")


def forget(results: Path) -> None:
    for path in results.iterdir():
        path.unlink()


def rows_of(text: str) -> dict[str, str]:
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| P")]
    return {row[0].removeprefix("| "): row[2] for row in rows}


def test_rows_and_notes_that_a_checkout_has_no_figures_of_stay(results: Path) -> None:
    store("ingest", {"P2": measured(1.0), "P10": measured(2.0)})
    store("query", {"P18a": measured(3.0)})
    (results / "ingest.notes").write_text("parse 0.1\n", "utf-8")
    before = page()
    forget(results)
    store("ingest", {"P2": measured(4.0), "P3": measured(5.0)})
    after = page(before)
    assert list(rows_of(after).items()) == [("P2", "4.00"), ("P3", "5.00"), ("P10", "2.00"), ("P18a", "3.00")]
    assert after.count("parse 0.1") == 1
    assert page(after) == after


def test_rows_of_another_machine_go(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store("ingest", {"P2": measured(1.0)})
    before = page()
    forget(results)
    monkeypatch.setattr(figures, "machine", lambda: "64 cores")
    store("ingest", {"P3": measured(2.0)})
    assert rows_of(page(before)) == {"P3": "2.00"}
