"""What each statement of the product said when its handler was written: a changed one has to be looked at again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from checker.sim.loop import SimulationError

FILE = Path(__file__).with_name("pins.json")


def digest_of(statement: str) -> str:
    """A short fingerprint of a statement, whatever its white space."""
    return hashlib.blake2b(" ".join(statement.split()).encode(), digest_size=6).hexdigest()


def check(store: str, statements: Mapping[str, str], handled: Iterable[str]) -> None:
    """Raise SimulationError if a handled statement is gone or says something else than when it was pinned."""
    pinned = json.loads(FILE.read_text("utf-8")).get(store, {})
    now = {name: digest_of(statements[name]) if name in statements else "gone" for name in handled}
    changed = sorted(name for name, digest in now.items() if pinned.get(name) != digest)
    if changed:
        raise SimulationError(
            f"statements of {store} changed: {', '.join(changed)}. See that their handlers in tests/checker/sim do what"
            " they say now, then run `make replay ACCEPT=1`"
        )


def accept(found: Mapping[str, Mapping[str, str]]) -> None:
    """Pin the statements as they are now."""
    pinned = {
        store: {name: digest_of(text) for name, text in sorted(statements.items())}
        for store, statements in sorted(found.items())
    }
    FILE.write_text(json.dumps(pinned, indent=1) + "\n", "utf-8")
