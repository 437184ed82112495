"""Everything at once: the services over a stack, with the jobs that run before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from atlas_local.faults.links import CLIENT_LINKS, SERVICE_LINKS, Links
from atlas_local.platform import SERVICES, Platform, Stores, run_keeper, running_platform
from atlas_local.ports import assign_in
from atlas_local.process import ChildProcess
from atlas_local.stack import LocalStack

_ROLES = ("atlas_ingest", "atlas_monitor", "atlas_sink", "atlas_reader", "atlas_keeper")


@dataclass(frozen=True, slots=True)
class Launched:
    """A stack with the services over it."""

    stack: LocalStack
    platform: Platform

    @property
    def ingest(self) -> str:
        """host:port of the ingest service."""
        return self.platform.addresses["ingest"]

    @property
    def query(self) -> str:
        """host:port of the query router."""
        return self.platform.addresses["query-router"]

    @property
    def lag(self) -> str:
        """host:port of the lag monitor."""
        return self.platform.addresses["lag-monitor"]

    def process(self, name: str) -> ChildProcess:
        """Return a service or a part of the stack by its name. Raises KeyError for an unknown one."""
        return {**{part.name: part for part in self.stack.parts}, **self.platform.services}[name]


def stores_of(stack: LocalStack) -> Stores:
    """Return where the stores of a stack are, for each role."""
    return Stores(
        primary={role: stack.primary_dsn(role) for role in _ROLES},
        replica={role: stack.replica_dsn(role) for role in _ROLES},
        kafka_bootstrap=stack.kafka_bootstrap,
        clickhouse_url=f"{stack.clickhouse_url}/atlas",
    )


@asynccontextmanager
async def launched(
    stack: LocalStack,
    *,
    directory: Path,
    ports: Mapping[str, int] | None = None,
    sample_ratio: float = 0.01,
    metrics: bool = False,
    links: Links | None = None,
    programs: Mapping[str, Sequence[str]] | None = None,
) -> AsyncIterator[Launched]:
    """Run the keeper once, start the services on free ports (or the given ones) and yield when all are ready.

    The stack must have its migrations. With `metrics` each service serves its metrics. With `links` every service
    reaches what it calls through a relay, and so can clients (`client->ingest` and so on). `programs` has what Python
    is given in the place of a service's own module. On exit the services drain; the stack goes on. Raises PartFailed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stores = stores_of(stack)
    await run_keeper(stores, directory / "logs")
    measured = {name: f"{name}-metrics" for name in SERVICES if metrics}
    taken = assign_in(directory, (*SERVICES, *measured.values()), ports or {})
    chosen = {name: taken[name] for name in SERVICES}
    detours = {} if links is None else await _detours(links, {**stack.ports, **chosen})
    async with running_platform(
        stores,
        chosen,
        directory,
        sample_ratio=sample_ratio,
        metrics_ports={name: taken[port] for name, port in measured.items()},
        detours=detours,
        programs=programs,
    ) as platform:
        yield Launched(stack, platform)


async def _detours(links: Links, ports: Mapping[str, int]) -> dict[str, dict[int, int]]:
    """Put a relay on each link of a service and return, by caller, the relay's port for the port of what it calls."""
    await links.open_all((*SERVICE_LINKS, *CLIENT_LINKS), ports)
    return {caller: {ports[callee]: relay.port for callee, relay in links.of_caller(caller)} for caller in SERVICES}
