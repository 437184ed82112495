"""A TCP relay between two parts, which can be made slow, deaf, one-way, forgetful, or cut off.

A relay changes when bytes arrive and whether they do, never what they are. What is held back in a partition arrives
when it is over, as with TCP's own repetition, unless its connection was given up meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from atlas_local.ports import HOST
from atlas_local.process import until

_CHUNK = 64 << 10  # bytes of one read
_UNDER_WAY = 64  # chunks of one direction that may be on their way; then the sender is no longer read
_CONNECT_SECONDS = 5.0
# Close with a reset: what is not sent yet is dropped.
_NO_LINGER = struct.pack("ii", 1, 0)


class Way(StrEnum):
    """A direction of a connection, as its caller sees it."""

    THERE = "there"  # requests
    BACK = "back"  # answers and acknowledgements


@dataclass(frozen=True, slots=True)
class Weather:
    """What one direction suffers. The default is nothing."""

    latency: float = 0.0  # seconds added to each chunk
    jitter: float = 0.0  # seconds, at most, on top of it
    bytes_per_second: float | None = None  # None: as fast as it goes
    held: bool = False  # nothing arrives until it is over


CALM = Weather()


@dataclass(frozen=True, slots=True)
class _Connection:
    writers: tuple[asyncio.StreamWriter, ...]

    def reset(self) -> None:
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


class Relay:
    """One link: it listens at `port` and speaks to `target`, which may be changed; all by the controller's own hand."""

    def __init__(self, name: str, port: int, target: int, *, seed: int = 0) -> None:
        self.name = name
        self.port = port
        self.target = target
        self._chance = random.Random(seed)
        self._weather = {Way.THERE: CALM, Way.BACK: CALM}
        self._refusing = False
        self._changed = asyncio.Condition()
        self._connections: set[_Connection] = set()
        self._forgotten: set[_Connection] = set()

    @property
    def address(self) -> str:
        """host:port that the caller of this link is told."""
        return f"{HOST}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections go through it now."""
        return len(self._connections)

    async def slow(self, latency: float, jitter: float = 0.0) -> None:
        """Add seconds to both directions."""
        await self._set(Weather(latency, jitter), Weather(latency, jitter))

    async def delay_answers(self, latency: float) -> None:
        """Add seconds to the direction back only: requests act at once, their acknowledgements come late."""
        await self._set(CALM, Weather(latency))

    async def drip(self, bytes_per_second: float) -> None:
        """Let so many bytes a second through in each direction of each connection."""
        await self._set(Weather(bytes_per_second=bytes_per_second), Weather(bytes_per_second=bytes_per_second))

    async def half_open(self) -> None:
        """Hold everything: connections stay, also new ones are taken, and nothing arrives in either direction."""
        await self._set(Weather(held=True), Weather(held=True))

    async def one_way(self, arriving: Way) -> None:
        """Hold the other direction only."""
        await self._set(Weather(held=arriving is Way.BACK), Weather(held=arriving is Way.THERE))

    async def forget(self) -> None:
        """Hold everything on the connections that are there, until healed: new ones are served.

        So does a firewall that lost its table."""
        self._forgotten |= self._connections

    async def cut(self) -> None:
        """Reset every connection and every new one."""
        self._refusing = True
        self.reset()
        await self._set(CALM, CALM)

    def reset(self) -> None:
        """Reset every connection once; new ones are taken."""
        for connection in list(self._connections):
            connection.reset()

    async def heal(self) -> None:
        """Let everything through as if nothing had been."""
        self._refusing = False
        self._forgotten.clear()
        await self._set(CALM, CALM)

    async def _set(self, there: Weather, back: Weather) -> None:
        async with self._changed:
            self._weather = {Way.THERE: there, Way.BACK: back}
            self._changed.notify_all()

    async def taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until both directions have ended; the callback of the listening socket."""
        if self._refusing:
            _Connection((writer,)).reset()
            return
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except (OSError, TimeoutError):
            _Connection((writer,)).reset()
            return
        connection = _Connection((writer, far_writer))
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(Way.THERE, connection, reader, far_writer), name=f"{self.name}-there")
                group.create_task(self._carry(Way.BACK, connection, far_reader, writer), name=f"{self.name}-back")
        except* OSError:
            connection.reset()
        finally:
            self._connections.discard(connection)
            self._forgotten.discard(connection)
            for one in connection.writers:
                one.close()

    async def _carry(
        self, way: Way, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry the bytes of one direction, and its end, until that end has arrived."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(way, reader, queue))
            group.create_task(self._give(way, connection, writer, queue))

    async def _take(self, way: Way, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await reader.read(_CHUNK)
            weather = self._weather[way]
            await queue.put((loop.time() + weather.latency + weather.jitter * self._chance.random(), data))
            if not data:
                return

    async def _give(
        self,
        way: Way,
        connection: _Connection,
        writer: asyncio.StreamWriter,
        queue: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            if not data:
                await self._until_let_through(way, connection)
                if writer.can_write_eof():
                    writer.write_eof()
                return
            await self._write(way, connection, writer, data)

    async def _write(self, way: Way, connection: _Connection, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            await self._until_let_through(way, connection)
            rate = self._weather[way].bytes_per_second
            size = len(data) if rate is None else max(1, int(rate / 20))
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]
            if rate is not None:
                await asyncio.sleep(size / rate)

    async def _until_let_through(self, way: Way, connection: _Connection) -> None:
        if self._holds(way, connection):
            async with self._changed:
                await self._changed.wait_for(lambda: not self._holds(way, connection))

    def _holds(self, way: Way, connection: _Connection) -> bool:
        return self._weather[way].held or connection in self._forgotten


@asynccontextmanager
async def open_relay(name: str, target: int, *, port: int = 0, seed: int = 0) -> AsyncIterator[Relay]:
    """Yield a relay to a port of this machine, which may open later. `port` 0 takes a free one."""
    listening = socket.create_server((HOST, port), backlog=256)
    relay = Relay(name, listening.getsockname()[1], target, seed=seed)
    server = await asyncio.start_server(relay.taken, sock=listening, limit=_CHUNK)
    try:
        yield relay
    finally:
        server.close()
        await relay.heal()
        relay.reset()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                await until(lambda: relay.open_connections == 0, every=0.01)
