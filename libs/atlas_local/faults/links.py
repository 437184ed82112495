"""The links between the parts of a stack and its services, and a relay on each: `caller->callee` by their names."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from atlas_local.faults.relay import Relay, open_relay
from atlas_local.ports import HOST

# Kafka tells its clients where to go on: each of these callers gets a listener of its own that names the relay.
KAFKA_CALLERS = ("connect", "lag-monitor", "olap-sink")
STACK_LINKS = ("replica->primary", "connect->primary", *(f"{caller}->kafka" for caller in KAFKA_CALLERS))
SERVICE_LINKS = (
    "ingest->primary",
    "ingest->query-router",
    "lag-monitor->primary",
    "lag-monitor->replica",
    "lag-monitor->clickhouse",
    "olap-sink->primary",
    "olap-sink->clickhouse",
    "query-router->primary",
    "query-router->replica",
    "query-router->clickhouse",
    "query-router->lag-monitor",
    "gateway->query-router",
)
CLIENT_LINKS = ("client->ingest", "client->query-router", "client->gateway")


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener of the broker for one caller: `bound` is its own port, `told` the one that clients are told."""

    caller: str
    bound: int
    told: int

    @property
    def name(self) -> str:
        """Its name in the broker's settings."""
        return self.caller.upper().replace("-", "_")


class Links:
    """Relays by name. Those of a part are opened before the part is: a relay's target may come later."""

    def __init__(self, opened: AsyncExitStack, seed: int) -> None:
        self._opened = opened
        self._seed = seed
        self._relays: dict[str, Relay] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The links that have a relay."""
        return tuple(self._relays)

    def __getitem__(self, name: str) -> Relay:
        return self._relays[name]

    async def open(self, name: str, target: int) -> Relay:
        """Put a relay on the link to this port and return it; the same one if there is one already."""
        if name not in self._relays:
            relay = open_relay(name, target, seed=self._seed)
            self._relays[name] = await self._opened.enter_async_context(relay)
        return self._relays[name]

    async def open_all(self, names: tuple[str, ...], ports: Mapping[str, int]) -> None:
        """Put a relay on each link whose callee has a port here."""
        for name in names:
            callee = name.rpartition("->")[2]
            if callee in ports:
                await self.open(name, ports[callee])

    def of_caller(self, caller: str) -> Iterator[tuple[str, Relay]]:
        """Yield what this caller calls through a relay, by name."""
        for name, relay in self._relays.items():
            first, _, callee = name.partition("->")
            if first == caller:
                yield callee, relay

    async def heal(self) -> None:
        """Let everything through on every link."""
        for relay in self._relays.values():
            await relay.heal()


def led_round(settings: Mapping[str, str], ports: Mapping[int, int]) -> dict[str, str]:
    """Return the settings with each address of this machine whose port is in `ports` replaced by the other one."""

    def other(found: re.Match[str]) -> str:
        port = int(found[1])
        return f"{HOST}:{ports.get(port, port)}"

    return {key: re.sub(rf"{re.escape(HOST)}:(\d+)", other, value) for key, value in settings.items()}


@asynccontextmanager
async def open_links(seed: int = 0) -> AsyncIterator[Links]:
    """Yield a set of relays, empty at first; all are gone at the end."""
    async with AsyncExitStack() as opened:
        yield Links(opened, seed)
