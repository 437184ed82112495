"""The report says what the checks found, needs nothing but itself, and can be read and used without a mouse."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from checker.history import (
    CURRENT,
    FaultEnded,
    FaultStarted,
    History,
    Item,
    ReadAnswered,
    ReadSent,
    Seen,
    WriteAcknowledged,
    WriteSent,
    dump,
)
from checker.index import facts_of
from checker.outcome import Mutant, Outcome, load, percentile
from checker.report import main, page
from checker.timeline import drawn
from checker.verdict import check
from playwright.async_api import Page, async_playwright

MS = 1_000_000
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)


def told(*, false: bool = False) -> History:
    """Writes every 10 ms, and reads of all copies whose claims are true, or too small after the fault began."""
    history = History("make again SEED=3 <now>", "processes", 3)
    add = history.append
    for number in range(300):
        at = number * 10 * MS
        add(WriteSent(at, number * 10, 1, (Item("e/k", number, number),)))
        add(WriteAcknowledged(at + MS, number * 10, f"a1.1.{number + 1:x}"))
        if number == 150:
            add(FaultStarted(at + 2 * MS, 1, "freeze", "olap-sink"))
        for index, source in enumerate(("primary", "replica", "olap")):
            lag = (0, 3, 12)[index]
            op = number * 10 + index + 1
            shown = max(number - lag, 0)
            claim = (lag + 1) * 10 * MS if not (false and number > 200 and source == "olap") else 20 * MS
            add(ReadSent(at + 3 * MS, op, 1, CURRENT, ("e/k",), "analytics", "wait", 10**12, (source,)))
            add(ReadAnswered(at + 3 * MS, op, source, claim, (Seen("e/k", shown, shown),), epoch=1))
        if number == 250:
            add(FaultEnded(at + 4 * MS, 1))
    return history


def outcome(history: History) -> Outcome:
    found = Outcome("processes")
    found.add(history, check(history), wall_seconds=3.0)
    return found


def test_the_numbers_are_those_of_the_checks() -> None:
    text = page([outcome(told())], told())
    assert '<dt>claims checked</dt><dd class="">900</dd>' in text
    assert '<dt>false claims</dt><dd class="good">0</dd>' in text
    assert "<p>None.</p>" in text


def test_a_violation_is_shown_with_its_events_and_the_command_that_replays_it() -> None:
    found = outcome(told(false=True))
    assert found.false_claims == 99
    text = page([found], told(false=True))
    assert '<dt>false claims</dt><dd class="bad">99</dd>' in text
    assert "make again SEED=3 &lt;now&gt;" in text
    assert "olap claimed at most 20.000 ms" in text
    assert "WriteAcknowledged(at=" in text


def test_mutants_and_the_naive_twin_are_counted() -> None:
    found = outcome(told())
    found.mutants = [Mutant("unknown lag is zero", "C1", 2), Mutant("no FINAL", "", 20)]
    twin = outcome(told(false=True))
    twin.tier = "twin"
    text = page([found, twin])
    assert "1 of 2" in text
    assert "99 of 900" in text
    assert "alive" in text


def test_the_timeline_has_each_fault_each_source_and_marks_what_is_false() -> None:
    svg = drawn(facts_of(told(false=True)))
    assert svg.count('class="fault"') == 1
    assert "freeze olap-sink" in svg
    assert all(f">{source}</text>" in svg for source in ("primary", "replica", "olap"))
    assert svg.count('class="false"') == 99
    assert drawn(facts_of(told())).count('class="false"') == 0
    assert drawn(facts_of(History())) == ""


def test_an_outcome_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    found = outcome(told(false=True))
    found.mutants = [Mutant("m", "C1", 2, "make m")]
    found.dump(tmp_path / "deep" / "processes.json")
    assert load(tmp_path / "deep" / "processes.json") == found


def test_percentiles_are_values_that_were_there() -> None:
    assert percentile([], 50) is None
    assert [percentile([5, 1, 3, 2, 4], percent) for percent in (1, 50, 99, 100)] == [1, 3, 5, 5]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Page]:
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: install chromium to look at the report in a browser")
    outcome(told(false=True)).dump(tmp_path / "processes.json")
    dump(told(false=True), tmp_path / "processes.jsonl")
    file = main(tmp_path)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1200, "height": 900})
        await page.context.set_offline(True)
        await page.goto(file.as_uri())
        yield page
        await browser.close()


async def test_a_browser_shows_it_whole_and_offline(opened: Page) -> None:
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    await opened.reload()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert await opened.title() == "Atlas: freshness checked"
    assert await opened.locator("#summary dd.bad").first.text_content() == "99"
    box = await opened.locator("svg").bounding_box()
    assert box is not None
    assert box["width"] > 800
    assert box["height"] > 400
    names = await opened.locator("svg text.lane").all_text_contents()
    assert names == ["writes", "primary", "replica", "olap"]


async def test_the_keyboard_reaches_everything(opened: Page) -> None:
    await opened.keyboard.press("Tab")
    assert await opened.evaluate("document.activeElement.className") == "skip"
    await opened.keyboard.press("Enter")
    await opened.wait_for_function("location.hash === '#timeline'")
    for _ in range(3):
        await opened.keyboard.press("Tab")
        if await opened.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    await opened.keyboard.press("Enter")
    assert await opened.locator("details[open] pre").first.text_content() == "make again SEED=3 <now>"


async def test_a_narrow_window_scrolls_only_the_timeline(opened: Page) -> None:
    await opened.set_viewport_size({"width": 420, "height": 800})
    overflow = await opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


def test_nothing_in_the_report_points_elsewhere() -> None:
    text = page([outcome(told())], told())
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*", text) == []
    assert "url(" not in text
    assert "<script" not in text
