"""The command line works with services that answer only who says who calls and for which tenant."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from atlas_cli.commands.load import KEPT_HERE
from atlas_cli.demo.run import Stopwatch, curl_line
from atlas_cli.demo.scenes import STATION
from atlas_cli.demo.verify import load_whole
from atlas_cli.sets.totals import WHOLE
from atlas_client import AtlasClient, CallFailed, Tenant, Write
from atlas_local.launch import Launched, stores_of
from atlas_local.platform import environments, grpc_ready
from atlas_local.ports import assign_in
from atlas_local.process import ChildProcess, Command
from rich.console import Console

DEVICE = "UPS"
STRICT = ("query-router", "ingest", "gateway")


@pytest.fixture(scope="module")
async def strict(atlas: Launched, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Launched]:
    """The stack's stores and lag monitor, behind an ingest, a router and a gateway that demand an identity."""
    folder = tmp_path_factory.mktemp("strict")
    ports = assign_in(folder, STRICT, {})
    addresses = {**atlas.platform.addresses, **{name: f"127.0.0.1:{port}" for name, port in ports.items()}}
    settings = environments(stores_of(atlas.stack), addresses, folder, 0.0, {})
    async with AsyncExitStack() as opened:
        for name in STRICT:
            program = [sys.executable, "-m", f"atlas_{name.replace('-', '_')}"]
            command = Command(program, {**settings[name], "ATLAS_IDENTITY": "required"})
            service = ChildProcess(name, command, folder / f"{name}.log", ready(name, addresses[name]), 60.0)
            opened.push_async_callback(service.stop)
            await service.start()
        yield Launched(atlas.stack, replace(atlas.platform, addresses=addresses))


def ready(name: str, address: str):  # type: ignore[no-untyped-def]
    async def asked() -> bool:
        if name != "gateway":
            return await grpc_ready(address)
        async with httpx.AsyncClient(timeout=1.0) as http:
            try:
                return (await http.get(f"http://{address}/readyz")).is_success
            except httpx.HTTPError:
                return False

    return asked


async def cli(*words: str) -> tuple[int | None, str]:
    """Return how a command of the command line ended and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atlas_cli", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("mode", ["unary", "stream"])
async def test_offered_load_is_taken(strict: Launched, mode: str, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = f"bench --mode {mode} --duration 1 --warm-up 0 --tenants 3 --batch 50 --callers 3 --json {figures}"
    code, said = await cli(*words.split(), "--ingest", strict.ingest)
    assert code == 0, said
    offer = json.loads(figures.read_text())
    assert offer["errors"] == {}
    assert offer["rows"] > 0


async def test_a_set_is_loaded_and_waited_for_in_every_copy(strict: Launched) -> None:
    watch = Stopwatch(Console(quiet=True))
    [different] = await load_whole(strict, watch, "snmp", KEPT_HERE / "snmp" / DEVICE)  # one device of the set
    assert different.endswith(f"values delivered, not {WHOLE['snmp'].delivered:,}")
    assert not different.startswith("snmp: 0 ")


async def test_the_line_that_the_demo_prints_is_answered(
    strict: Launched, client: AtlasClient, new_tenant: Callable[[], Awaitable[Tenant]]
) -> None:
    tenant = (await new_tenant()).tenant_id
    await client.write_rows(tenant, [Write(STATION, "temp_c", 11.0, datetime(2022, 10, 23, tzinfo=UTC))])
    words = shlex.split(curl_line(strict.platform.gateway_url, tenant))
    assert words[:2] == ["curl", "-i"]
    headers = dict(word.split(": ", 1) for option, word in pairwise(words) if option == "-H")
    async with httpx.AsyncClient(timeout=30) as http:
        answer = await http.get(words[-1], headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["entity_key"] == STATION
        refused = await http.get(words[-1], headers={"X-Tenant-Id": str(tenant)})
        assert refused.status_code == 401, refused.text


async def test_promoted_attributes_are_listed(strict: Launched, new_tenant: Callable[[], Awaitable[Tenant]]) -> None:
    code, said = await cli("hot", "list", (await new_tenant()).name, "--ingest", strict.ingest)
    assert code == 0, said


async def test_who_does_not_say_who_calls_is_refused(strict: Launched) -> None:
    async with AtlasClient.connect(strict.ingest, strict.query) as nobody:
        with pytest.raises(CallFailed) as refused:
            await nobody.list_tenants()
    assert refused.value.reason == "IDENTITY_REQUIRED"
