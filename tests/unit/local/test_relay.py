"""A relay changes when bytes arrive and whether they do, in one direction or both, and never what they are."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from atlas_local.faults.links import Listener, led_round, open_links
from atlas_local.faults.relay import Relay, Way, open_relay
from atlas_local.kafka import broker_settings
from atlas_local.process import until


@dataclass
class Echo:
    """A server that gives back what it gets, and remembers it."""

    received: bytearray = field(default_factory=bytearray)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.received += data
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Relay]]:
    one = Echo()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    async with open_relay("a->b", server.sockets[0].getsockname()[1]) as relay:
        yield one, relay
    server.close()


@pytest.fixture
async def line(echo: tuple[Echo, Relay]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo[1].port)
    yield reader, writer
    writer.close()


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def nothing_comes(reader: asyncio.StreamReader, seconds: float = 0.15) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await reader.read(1)


async def test_bytes_and_ends_pass_unchanged(echo: tuple[Echo, Relay], line: Line) -> None:
    reader, writer = line
    data = random.Random(1).randbytes(3 << 20)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        got = await reader.read(-1)
    assert got == data == bytes(echo[0].received)


async def test_a_forgotten_connection_is_deaf_and_dumb_until_healed_and_a_new_one_is_not(
    echo: tuple[Echo, Relay], line: Line
) -> None:
    old_reader, old_writer = line
    old_writer.write(b"a")
    assert await old_reader.readexactly(1) == b"a"
    await echo[1].forget()
    old_writer.write(b"b")
    await nothing_comes(old_reader)
    reader, writer = await asyncio.open_connection("127.0.0.1", echo[1].port)
    writer.write(b"c")
    assert await reader.readexactly(1) == b"c"
    writer.close()
    assert bytes(echo[0].received) == b"ac"
    await echo[1].heal()
    assert await old_reader.readexactly(1) == b"b"


async def test_latency_is_added_to_each_direction(echo: tuple[Echo, Relay], line: Line) -> None:
    reader, writer = line
    await echo[1].slow(0.1)
    begin = time.monotonic()
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    assert time.monotonic() - begin >= 0.2


async def test_latency_does_not_bound_throughput(echo: tuple[Echo, Relay], line: Line) -> None:
    reader, writer = line
    await echo[1].slow(0.05)
    begin = time.monotonic()
    for _ in range(30):
        writer.write(b"x" * 1000)
        await asyncio.sleep(0.001)
    await reader.readexactly(30_000)
    assert time.monotonic() - begin < 30 * 0.05


async def test_delayed_answers_let_requests_through_at_once(echo: tuple[Echo, Relay], line: Line) -> None:
    reader, writer = line
    await echo[1].delay_answers(0.3)
    begin = time.monotonic()
    writer.write(b"x")
    await until(lambda: bytes(echo[0].received) == b"x", every=0.005)
    assert time.monotonic() - begin < 0.3
    assert await reader.readexactly(1) == b"x"
    assert time.monotonic() - begin >= 0.3


async def test_half_open_takes_connections_and_carries_nothing_until_it_heals(
    echo: tuple[Echo, Relay], line: Line
) -> None:
    reader, writer = line
    await echo[1].half_open()
    writer.write(b"old")
    late_reader, late_writer = await asyncio.open_connection("127.0.0.1", echo[1].port)
    late_writer.write(b"new")
    await nothing_comes(reader)
    await nothing_comes(late_reader)
    assert not echo[0].received
    await echo[1].heal()
    assert await reader.readexactly(3) == b"old"
    assert await late_reader.readexactly(3) == b"new"
    late_writer.close()


@pytest.mark.parametrize("arriving", list(Way))
async def test_one_way_carries_one_direction_only(echo: tuple[Echo, Relay], line: Line, arriving: Way) -> None:
    reader, writer = line
    await echo[1].one_way(arriving)
    writer.write(b"x")
    await nothing_comes(reader)
    assert bytes(echo[0].received) == (b"x" if arriving is Way.THERE else b"")
    await echo[1].heal()
    assert await reader.readexactly(1) == b"x"


async def test_a_reset_ends_connections_and_new_ones_are_taken(echo: tuple[Echo, Relay], line: Line) -> None:
    reader, writer = line
    writer.write(b"x")
    await reader.readexactly(1)
    echo[1].reset()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    again_reader, again_writer = await asyncio.open_connection("127.0.0.1", echo[1].port)
    again_writer.write(b"y")
    assert await again_reader.readexactly(1) == b"y"
    again_writer.close()


async def test_a_cut_also_refuses_new_connections_until_it_heals(echo: tuple[Echo, Relay], line: Line) -> None:
    reader, writer = line
    writer.write(b"x")
    await reader.readexactly(1)
    await echo[1].cut()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    again, _ = await asyncio.open_connection("127.0.0.1", echo[1].port)
    with pytest.raises(ConnectionResetError):
        await again.read(1)
    await echo[1].heal()
    again, writer = await asyncio.open_connection("127.0.0.1", echo[1].port)
    writer.write(b"y")
    assert await again.readexactly(1) == b"y"
    writer.close()


async def test_a_drip_bounds_the_rate(echo: tuple[Echo, Relay], line: Line) -> None:
    reader, writer = line
    await echo[1].drip(10_000)
    begin = time.monotonic()
    writer.write(b"x" * 3_000)
    await reader.readexactly(3_000)
    assert time.monotonic() - begin >= 0.25


async def test_a_target_that_is_away_resets_the_caller_and_one_that_moves_is_followed() -> None:
    one, other = Echo(), Echo()
    first = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    second = await asyncio.start_server(other.serve, "127.0.0.1", 0)
    async with open_relay("a->b", first.sockets[0].getsockname()[1]) as relay:
        first.close()
        reader, _ = await asyncio.open_connection("127.0.0.1", relay.port)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        relay.target = second.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert not one.received
        writer.close()
    second.close()


async def test_addresses_in_settings_are_led_round_whole_ones_only() -> None:
    settings = {"DSN": "postgresql://a:127@127.0.0.1:2000/db", "OTHER": "127.0.0.1:20001", "NAME": "2000"}
    assert led_round(settings, {2000: 5}) == {
        "DSN": "postgresql://a:127@127.0.0.1:5/db",
        "OTHER": "127.0.0.1:20001",
        "NAME": "2000",
    }


async def test_links_are_found_by_their_caller() -> None:
    async with open_links() as links:
        await links.open_all(("router->a", "router->b", "sink->a", "sink->away"), {"a": 1, "b": 2})
        assert sorted(links.names) == ["router->a", "router->b", "sink->a"]
        assert {callee: relay.target for callee, relay in links.of_caller("router")} == {"a": 1, "b": 2}
        assert await links.open("sink->a", 1) is links["sink->a"]


def test_a_broker_tells_each_caller_the_port_of_its_relay(tmp_path: object) -> None:
    from pathlib import Path

    settings = broker_settings(Path("/d"), 1, 2, [Listener("olap-sink", 3, 4)])
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2,OLAP_SINK://127.0.0.1:3"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1,OLAP_SINK://127.0.0.1:4"
    assert settings["listener.security.protocol.map"].endswith("OLAP_SINK:PLAINTEXT")
