"""`atlas bench`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from atlas.ingest.v1.ingest_service_pb2 import AckLevel as Wire
from atlas_client import AckLevel, AtlasClient

from atlas_cli.bench.batches import Repeated, TenantLoad
from atlas_cli.bench.offer import Offer, Outcome, run, stubs
from atlas_cli.bench.skew import tenant_shapes
from atlas_cli.commands.options import CALLER, Ingest
from atlas_cli.commands.running import complete, fail

CONNECTIONS = 2
MADE_AHEAD = 8  # requests of each tenant


class Mode(StrEnum):
    """How batches travel."""

    UNARY = "unary"
    STREAM = "stream"


def bench_command(
    *,
    ingest: Ingest = "127.0.0.1:50051",
    rate: Annotated[float, typer.Option(min=0, help="Calls a second, offered whatever happens; 0: closed loop")] = 0,
    callers: Annotated[int, typer.Option(min=1, help="Callers (or streams) of the closed loop")] = 8,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds that are measured")] = 10,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds before them that are not")] = 1,
    batch: Annotated[int, typer.Option(min=1, max=50_000, help="Values in one call; 1: single values")] = 1_000,
    tenants: Annotated[int, typer.Option(min=1, max=1_000, help="Tenants, skewed as in the public sets")] = 10,
    mode: Annotated[Mode, typer.Option(help="One call a batch, or streams with 8 batches in flight")] = Mode.UNARY,
    ack_level: Annotated[AckLevel, typer.Option(help="How far a write must come")] = AckLevel.COMMITTED,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds that one call may take")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed offers the same load")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there too")] = None,
) -> None:
    """Offer load to ingest and tell what became of it.

    With --rate the loop is open: a call counts from when it was due, however slow the service is. Nothing is repeated;
    what fails is counted by reason. Values follow the skew and the types of the public telemetry sets. A long run takes
    no more memory than a short one; each second a line is printed. A stream carries one tenant: --callers streams are
    dealt out to the tenants by their share. What one tenant costs another is seen with two such commands at a time,
    each with a --seed of its own, which stands for its tenants.
    """
    if mode is Mode.STREAM and rate:
        raise fail("--mode stream is a closed loop: leave out --rate", 2)

    outcome = Outcome()

    async def offered() -> None:
        async with (
            AtlasClient.connect(ingest=ingest, query=ingest, caller=CALLER) as client,
            stubs(ingest, CONNECTIONS) as connections,
        ):
            loads, weights = await _loads(client, tenants, batch, seed=seed, ack_level=ack_level)
            offer = Offer(
                loads=loads,
                weights=weights,
                duration=timedelta(seconds=duration),
                rate=rate,
                callers=callers,
                stream=mode is Mode.STREAM,
                timeout=timedelta(seconds=timeout),
                warm_up=timedelta(seconds=warm_up),
                seed=seed,
                caller=CALLER,
            )
            async with asyncio.TaskGroup() as group:
                progress = group.create_task(_tell(outcome))
                await run(offer, connections, outcome)
                progress.cancel()

    complete(offered(), ingest)
    figures = outcome.as_json()
    print(_line(figures))
    if json_file is not None:
        figures["generator_cpu_seconds"] = time.process_time()
        json_file.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


async def _loads(
    client: AtlasClient, count: int, rows: int, *, seed: int, ack_level: AckLevel
) -> tuple[list[Repeated], list[float]]:
    shapes = tenant_shapes(count)
    loads = []
    for number, shape in enumerate(shapes):
        tenant = await client.create_tenant(f"bench-{seed}-{number}")
        load = Repeated(TenantLoad(tenant.tenant_id, shape, rows, seed + number), MADE_AHEAD)
        load.ask(Wire.Value(f"ACK_LEVEL_{ack_level.name}"))
        loads.append(load)
    return loads, [shape.share for shape in shapes]


async def _tell(outcome: Outcome) -> None:
    began, before = time.perf_counter(), 0
    while True:
        await asyncio.sleep(1)
        rows = outcome.acknowledged_rows
        said = f"{rows - before:,} rows/s, {outcome.errors.total():,} failed"
        print(f"{time.perf_counter() - began:5.0f} s  {said}", file=sys.stderr, flush=True)
        before = rows


def _line(figures: dict[str, Any]) -> str:
    text = f"{figures['rows_per_second']:,.0f} values/s acknowledged in {figures['calls_per_second']:,.0f} calls/s"
    if figures["answered"]:
        percentiles = ", ".join(f"{name} {figures[f'{name}_ms']:.2f}" for name in ("p50", "p90", "p99", "p99.9"))
        text += f"; ms: {percentiles}, max {figures['max_ms']:.2f}"
    errors = ", ".join(f"{count:,} {reason}" for reason, count in sorted(figures["errors"].items()))
    return text + f"; {errors or 'none'} failed; {figures['refused_rows']:,} values refused"
