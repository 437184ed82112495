"""The demo from nothing to the last line."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from atlas_client import AtlasClient, Source
from atlas_local.launch import Launched, launched
from atlas_local.migrations import apply_migrations
from atlas_local.stack import StackOptions, local_stack
from rich.console import Console

import atlas_cli
from atlas_cli.commands.options import CALLER
from atlas_cli.copies import count_copies
from atlas_cli.demo.scenes import STATION, TENANT, Scene, show_own_writes, show_reads, show_trace
from atlas_cli.loading import Ledger, load, progress_for
from atlas_cli.sets import SETS, inputs_of

DATA = Path(atlas_cli.__file__).parent / "data"
# The newest snapshot of the weather, and one day of the disks.
FILES = {"metar": "metars.cache.20221023T1137Z.csv.gz", "backblaze": "2013-05-09.csv.gz"}
_CAUGHT_UP = timedelta(minutes=2)


class Stopwatch:
    """Seconds since the demo began, before each of its lines."""

    def __init__(self, console: Console) -> None:
        self._console, self._begun = console, time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since it was made."""
        return time.monotonic() - self._begun

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(f"[dim]{self.seconds:6.1f} s[/dim]  {text}", highlight=False)


@asynccontextmanager
async def everything(options: StackOptions, watch: Stopwatch, sample_ratio: float) -> AsyncIterator[Launched]:
    """Start stack and services, with a line for each step, and yield when all are ready. Raises LocalStackError."""
    async with AsyncExitStack() as opened:
        watch.say("starting PostgreSQL, its replica, Kafka, Debezium and the ClickHouse engine")
        stack = await opened.enter_async_context(local_stack(options))
        watch.say("all parts are up; applying the schema and starting the stream of changes")
        await apply_migrations(stack)
        directory = stack.data_dir / "services"
        running = await opened.enter_async_context(launched(stack, directory=directory, sample_ratio=sample_ratio))
        watch.say("all services are ready")
        yield running


async def demo(options: StackOptions, console: Console, *, exit_after: bool) -> None:
    """Show the whole journey, then stay up until cancelled, or leave at once if `exit_after`."""
    watch = Stopwatch(console)
    async with (
        everything(options, watch, sample_ratio=1.0) as running,
        AtlasClient.connect(ingest=running.ingest, query=running.query, caller=CALLER) as atlas,
    ):
        scene = Scene(console, atlas, running)
        token = await _load(scene, watch)
        tenant = next(tenant for tenant in await atlas.list_tenants() if tenant.name == TENANT)
        await show_reads(scene, tenant.tenant_id, token)
        watch.say("first certified answers")
        await show_trace(scene, await show_own_writes(scene))
        await _show_counts(scene, tenant.tenant_id, token)
        _show_addresses(scene, tenant.tenant_id)
        if not exit_after:
            console.print("\nUp until Ctrl-C.")
            await asyncio.Event().wait()


async def _load(scene: Scene, watch: Stopwatch) -> str:
    """Load the two files through gRPC and return the token of the last write of the weather."""
    tokens = {}
    for name, file in FILES.items():
        watch.say(f"loading {SETS[name].title}: {file}")
        inputs = inputs_of(SETS[name], [DATA / name / file])
        with Ledger(None) as ledger:
            report = await load(scene.atlas, SETS[name], inputs, ledger, progress_for(sys.stderr))
        watch.say(f"{report.stored:,} values of {len(report.tenants)} tenants acknowledged")
        tokens[name] = report.token
    return tokens["metar"]


async def _show_counts(scene: Scene, tenant_id: int, token: str) -> None:
    """Print what each copy holds of the two sets, once the copies have caught up with the load."""
    for source in (Source.REPLICA, Source.OLAP):
        await scene.atlas.for_tenant(tenant_id).wait_for_position(tenant_id, token, source, timeout=_CAUGHT_UP)
    stack = scene.running.stack
    scene.console.print("\n[bold]The same values in every copy[/bold]")
    for name in FILES:
        held = await count_copies(stack.primary_dsn(), stack.replica_dsn(), f"{stack.clickhouse_url}/atlas", f"{name}/")
        texts = ", ".join(f"{copy} {counts.values:,}" for copy, counts in held.items())
        scene.console.print(f"  {name}: {texts}", highlight=False)


def curl_line(gateway_url: str, tenant_id: int) -> str:
    """Return the line for a shell that asks the gateway for a station, and says who asks."""
    url = f"{gateway_url}/api/v1/entities/{STATION}/status?use_case=dashboard"
    return (
        f"curl -i -H 'X-Tenant-Id: {tenant_id}' -H 'X-Atlas-Tenant: {tenant_id}' -H 'X-Atlas-Caller: {CALLER}' '{url}'"
    )


def _show_addresses(scene: Scene, tenant_id: int) -> None:
    running = scene.running
    scene.console.print("\n[bold]Look around[/bold]")
    line = curl_line(running.platform.gateway_url, tenant_id)
    scene.console.print(f"  {line}", highlight=False, soft_wrap=True)
    scene.console.print(f"  {running.platform.gateway_url}/docs  (the HTTP API)", highlight=False)
    scene.console.print(
        f"  atlas get {TENANT} {STATION} --ingest {running.ingest} --query {running.query}",
        highlight=False,
        soft_wrap=True,
    )
    scene.console.print(f"  atlas lag --lag {running.lag}", highlight=False)
    scene.console.print(
        f"  logs: {running.stack.data_dir}/logs and {running.stack.data_dir}/services/logs", soft_wrap=True
    )


async def up(options: StackOptions, console: Console) -> None:
    """Start stack and services and stay up until cancelled."""
    watch = Stopwatch(console)
    async with everything(options, watch, sample_ratio=0.01) as running:
        for name, address in running.platform.addresses.items():
            console.print(f"  {name:<13} {address}", highlight=False)
        console.print("\nUp until Ctrl-C.")
        await asyncio.Event().wait()


def cancel_on_sigterm() -> None:
    """Let SIGTERM end the present task as Ctrl-C does, so that everything is stopped in order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
