"""The texts of statements that the product loads, each with what it does here. An unknown text stops the simulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from asyncpg import exceptions as pg
from atlaskit.sql import load
from checker.sim import pins
from checker.sim.loop import SimulationError
from checker.sim.pg import copy, ingest, monitor, reads, repair, sink, small_groups
from checker.sim.pg.session import Backend

Handler = Callable[..., Any]


def _begin(backend: Backend) -> list[dict[str, Any]]:
    backend.begin()
    return []


def _begin_repeatable(backend: Backend) -> list[dict[str, Any]]:
    backend.begin(repeatable=True)
    return []


async def _commit(backend: Backend) -> list[dict[str, Any]]:
    await backend.commit()
    return []


def _commit_or_not(backend: Backend) -> Any:
    if backend.transaction is not None and backend.transaction.changes:
        return _commit(backend)
    backend.roll_back()
    return []


def _roll_back(backend: Backend) -> list[dict[str, Any]]:
    backend.roll_back()
    return []


MODULES: tuple[Any, ...] = (ingest, monitor, reads, repair, sink)
_CONTROL: dict[str, Handler] = {
    "BEGIN": _begin,
    "BEGIN ISOLATION LEVEL REPEATABLE READ": _begin_repeatable,
    "COMMIT": _commit_or_not,
    "ROLLBACK": _roll_back,
}


def handled() -> dict[str, str]:
    """The statements that have a handler, by name."""
    named = load(files("atlaskit.postgres") / "queries")
    return {name: named[name] for module in MODULES for name in module.HANDLERS if name in named}


@cache
def _names() -> dict[str, str]:
    """The names of the texts that the product sends, which are those that were pinned."""
    named = load(files("atlaskit.postgres") / "queries")
    pins.check("postgres", named, [name for module in MODULES for name in module.HANDLERS])
    return {text: name for name, text in named.items()}


class PgStatements:
    """Runs the product's statements by name."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {
            name: handler for module in MODULES for name, handler in module.HANDLERS.items()
        }
        self._by_text = _names()

    def run(self, backend: Backend, text: str, args: tuple[Any, ...]) -> Any:
        if not backend.server.ready:
            raise pg.CannotConnectNowError("the database system is starting up")
        control = _CONTROL.get(text)
        if control is not None:
            return control(backend)
        name = self._by_text.get(text)
        handler = self.handlers.get(name) if name is not None else None
        if handler is None:
            raise SimulationError(f"no handler for the statement {name or text!r} of PostgreSQL")
        return backend.execute(handler, args)

    def copy(self, backend: Backend, table: str, columns: Any, octets: bytes) -> Any:
        if table not in ("entity_attributes", "staged_attributes"):
            raise SimulationError(f"no COPY into {table}")
        rows = copy.history_rows(columns, octets)
        if table == "staged_attributes":
            backend.staged.extend(rows)
            return []
        return small_groups.append_history(backend, rows)
