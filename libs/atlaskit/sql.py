"""Named statements, read from `.sql` files."""

from __future__ import annotations

import re
from importlib.resources.abc import Traversable
from pathlib import Path

_NAME = re.compile(r"^--[ \t]*name:[ \t]*(\S*)[ \t]*$", re.MULTILINE)
_EXPLANATION = re.compile(r"\A(?:[ \t]*(?:--[^\n]*)?\n)+")


def load(directory: Path | Traversable) -> dict[str, str]:
    """Return the statements of all `.sql` files of a directory by name. Raises ValueError for a name given twice."""
    statements: dict[str, str] = {}
    for file in sorted((f for f in directory.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name):
        for name, text in parse(file.read_text(encoding="utf-8"), file.name).items():
            if name in statements:
                raise ValueError(f"{file.name}: statement {name!r} is defined twice in this directory")
            statements[name] = text
    return statements


def parse(text: str, origin: str = "text") -> dict[str, str]:
    """Return the statements of one file by name, without the comment that explains each and without the last semicolon.

    A statement begins at `-- name: <name>` and ends at the next one. Raises ValueError, naming `origin`, for a name
    that is no identifier or is given twice, for a statement without text, and for one before the first name.
    """
    parts = _NAME.split(text)
    if _body(parts[0]):
        raise ValueError(f"{origin}: a statement stands before the first '-- name:'")
    statements: dict[str, str] = {}
    for name, raw in zip(parts[1::2], parts[2::2], strict=True):
        body = _body(raw)
        if not name.isidentifier() or name in statements or not body:
            raise ValueError(f"{origin}: statement {name!r} has no good name, or no text, or stands there twice")
        statements[name] = body
    return statements


def _body(raw: str) -> str:
    explained = _EXPLANATION.match(raw + "\n")
    return raw[explained.end() if explained else 0 :].strip().removesuffix(";").rstrip()
