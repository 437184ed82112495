"""The catalogue of faults has a row for each, and each row says where the fault is injected, or why it is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CATALOGUE = Path(__file__).parents[3] / "docs" / "faults.md"
ROWS = {
    found[1]: [cell.strip() for cell in found[0].strip("| \n").split("|")]
    for found in re.finditer(r"^\| (F\d\d) \|.*$", CATALOGUE.read_text("utf-8"), re.MULTILINE)
}
FAULTS = [f"F{number:02}" for number in range(1, 82)]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
KIND = re.compile(r"kinds? `(\w+)`(?: and `(\w+)`)?")


def test_every_fault_has_one_row() -> None:
    assert list(ROWS) == FAULTS
    assert len(re.findall(r"^\| F\d\d \|", CATALOGUE.read_text("utf-8"), re.MULTILINE)) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_says_what_it_is_and_where_it_is_injected(fault: str) -> None:
    name, what, where = ROWS[fault]
    assert name == fault
    assert what
    answered = TEST.search(where) or KIND.search(where) or where.startswith(("cannot arise: ", "open"))
    assert answered or "cannot arise" in where, where


@pytest.mark.parametrize("fault", FAULTS)
def test_every_test_and_kind_that_a_row_names_exists(fault: str, root: Path) -> None:
    from checker.processes.kinds import KINDS

    for path, name in TEST.findall(ROWS[fault][2]):
        module = ast.parse((root / path).read_text("utf-8"))
        defined = {node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in defined, f"{path} has no {name}"
    for found in KIND.findall(ROWS[fault][2]):
        assert {kind for kind in found if kind} <= set(KINDS)
