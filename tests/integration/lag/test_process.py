"""The monitor as a process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from atlas.lag.v1 import lag_service_pb2 as pb
from atlas.lag.v1 import lag_service_pb2_grpc
from atlas_lag_monitor.app import running
from atlas_lag_monitor.settings import Settings
from atlas_local.postgres import PostgresCluster
from atlaskit.errors import ConfigurationWrong

from .monitors import NOWHERE, ROLE, register, superuser


@asynccontextmanager
async def started(cluster: PostgresCluster, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its address; killed at the end if it still runs."""
    port_file = folder / "port"
    environment = {
        **os.environ,
        "ATLAS_POSTGRES_DSN": cluster.primary.dsn(ROLE),
        "ATLAS_CLICKHOUSE_URL": f"http://{NOWHERE}/atlas",
        "ATLAS_KAFKA_BOOTSTRAP": NOWHERE,
        "ATLAS_PORT_FILE": str(port_file),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atlas_lag_monitor", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            while not port_file.exists():
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield process, f"127.0.0.1:{port_file.read_text().strip()}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        port_file.unlink(missing_ok=True)


async def beaten(address: str) -> pb.LagReading:
    """Return a reading with beats in it."""
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(20):
        stub: lag_service_pb2_grpc.LagServiceAsyncStub = lag_service_pb2_grpc.LagServiceStub(channel)
        while True:
            reading = (await stub.GetLag(pb.GetLagRequest(), timeout=5)).reading
            if reading.beats:
                return reading
            await asyncio.sleep(0.05)


async def test_told_to_stop_it_ends_its_watches_and_leaves_without_waiting_for_the_drain(
    cluster: PostgresCluster, tmp_path: Path
) -> None:
    await register(cluster)
    async with started(cluster, tmp_path) as (process, address), grpc.aio.insecure_channel(address) as channel:
        stub: lag_service_pb2_grpc.LagServiceAsyncStub = lag_service_pb2_grpc.LagServiceStub(channel)
        watch = stub.WatchLag()
        await watch.write(pb.WatchLagRequest(nonce=1))
        await watch.read()
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_killed_monitors_place_is_taken_over_under_a_new_identity(
    cluster: PostgresCluster, tmp_path: Path, eventually: Callable[..., Awaitable[None]]
) -> None:
    await register(cluster)
    async with superuser(cluster) as session:

        async def nobody_beats() -> None:
            assert not await session.value(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'atlas-lag-beats'"
            )

        await eventually(nobody_beats)
        place = "SELECT place FROM ingest_batches_beat WHERE monitor = $1::text::uuid"
        async with started(cluster, tmp_path) as (process, address):
            first = await beaten(address)
            before = await session.value(place, first.monitor_id)
            process.kill()
            await process.wait()
        await eventually(nobody_beats)
        async with started(cluster, tmp_path) as (process, address):
            second = await beaten(address)
            assert second.monitor_id != first.monitor_id
            assert await session.value(place, second.monitor_id) == before
            assert await session.value(place, first.monitor_id) is None


async def test_a_taken_port_is_a_fault_of_the_configuration_and_told_as_one(cluster: PostgresCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(
            address=f"127.0.0.1:{taken.getsockname()[1]}",
            postgres_dsn=cluster.primary.dsn(ROLE),
            clickhouse_url=f"http://{NOWHERE}/atlas",
            kafka_bootstrap=NOWHERE,
        )
        with pytest.raises(ConfigurationWrong, match="cannot listen"):
            async with running(settings):
                pytest.fail("it must not start")
