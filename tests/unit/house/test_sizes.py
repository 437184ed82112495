"""Ceilings of the house style: 40 lines a function body, 300 lines a module, no names that say nothing."""

import ast
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[3]
OURS = sorted(
    path
    for folder in ("libs", "services")
    for path in (ROOT / folder).rglob("*.py")
    if ROOT / "libs" / "contracts" not in path.parents
)


def lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 > 40:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def test_a_function_body_has_at_most_forty_lines() -> None:
    assert OURS
    assert [name for path in OURS for name in long_functions(path)] == []


def test_a_module_has_at_most_three_hundred_lines() -> None:
    assert [f"{path.relative_to(ROOT)}" for path in OURS if lines(path.read_text()) > 300] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path.name for path in OURS if path.stem in {"utils", "util", "common", "manager", "helpers", "misc"}] == []


def test_no_hand_written_code_shadows_the_generated_namespace() -> None:
    assert not [path for path in OURS if path.parent.name == "atlas"]
    assert not (ROOT / "libs" / "contracts" / "atlas" / "__init__.py").exists()


def test_no_two_installed_distributions_own_one_file() -> None:
    # chdb is an alias of chdb-core that ships its first file again.
    known = {"chdb/__init__.py"}
    owners: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        for file in distribution.files or ():
            # Scripts and records of the environment itself are shared by design.
            if file.suffix in {".py", ".so", ".pyi"} and ".." not in file.parts and file.parts[0] != "__pycache__":
                owners.setdefault(str(file), set()).add(distribution.name)
    assert {file: names for file, names in owners.items() if len(names) > 1 and file not in known} == {}
