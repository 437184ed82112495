"""The tenants that a query is for, told to a server whose row policies show it no other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

_tenants: ContextVar[tuple[int, ...]] = ContextVar("tenants", default=())


@contextmanager
def reading_for(tenant_ids: Collection[int]) -> Iterator[None]:
    """Make the queries of the block, and of the tasks that it starts, queries for these tenants."""
    token = _tenants.set(tuple(tenant_ids))
    try:
        yield
    finally:
        # A coroutine that is closed from elsewhere has left its context already.
        with suppress(ValueError):
            _tenants.reset(token)


@dataclass(frozen=True, slots=True)
class Tenancy:
    """How a server is told: in this setting. Empty: it has none, as the embedded engine, and every row is visible."""

    setting: str

    def settings(self) -> dict[str, str]:
        """Return what a query made now carries; of a query for nobody an empty list, which shows nothing."""
        return {self.setting: ",".join(map(str, _tenants.get()))} if self.setting else {}
