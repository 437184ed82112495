"""All four sets, loaded whole through gRPC into a stack of its own and counted in every copy."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from atlas_client import AtlasClient, Source
from atlas_local.launch import Launched
from atlas_local.stack import StackOptions
from rich.console import Console

from atlas_cli.commands.options import CALLER
from atlas_cli.copies import Held, count_copies, count_corrected
from atlas_cli.demo.run import Stopwatch, everything
from atlas_cli.loading import Ledger, load, progress_for
from atlas_cli.sets import SETS, inputs_of
from atlas_cli.sets.totals import CORRECTED, FOLDERS, WHOLE

_CAUGHT_UP = timedelta(minutes=20)


class CopiesDiffer(Exception):
    """A copy does not hold what the set has; the text names set, copy and both counts."""


async def verify(data: Path, options: StackOptions, console: Console) -> None:
    """Load the four sets and compare each copy's counts with the known ones. Raises CopiesDiffer after the last set."""
    watch = Stopwatch(console)
    wrong: list[str] = []
    async with everything(options, watch, sample_ratio=0.001) as running:
        for name, folder in FOLDERS.items():
            wrong += await load_whole(running, watch, name, data / folder)
            wrong += await _differences(running, watch, name)
            wrong += await _wrong_corrections(running, watch, name)
    if wrong:
        raise CopiesDiffer("\n".join(wrong))


async def load_whole(running: Launched, watch: Stopwatch, name: str, data: Path) -> list[str]:
    """Load what is there of a set, wait for the copies, and return what is wrong with the number of its deliveries."""
    watch.say(f"loading {SETS[name].title}")
    inputs = inputs_of(SETS[name], [data])
    begun = watch.seconds
    async with AtlasClient.connect(ingest=running.ingest, query=running.query, caller=CALLER) as atlas:
        with Ledger(None) as ledger:
            report = await load(atlas, SETS[name], inputs, ledger, progress_for(sys.stderr))
        took = watch.seconds - begun
        watch.say(f"{report.writes:,} values acknowledged in {took:.0f} s; waiting for the copies")
        tenant = next(iter(await atlas.list_tenants())).tenant_id
        for source in (Source.REPLICA, Source.OLAP):
            await atlas.for_tenant(tenant).wait_for_position(tenant, report.token, source, timeout=_CAUGHT_UP)
    delivered = WHOLE[name].delivered
    watch.say(f"{name}: {report.writes:,} values delivered, {delivered:,} expected")
    return [] if report.writes == delivered else [f"{name}: {report.writes:,} values delivered, not {delivered:,}"]


async def _differences(running: Launched, watch: Stopwatch, name: str) -> list[str]:
    stack = running.stack
    known = WHOLE[name]
    expected = Held(known.values, known.observations, known.entities, known.tenants, known.keys)
    url = f"{stack.clickhouse_url}/atlas"
    held = await count_copies(stack.primary_dsn(), stack.replica_dsn(), url, f"{name}/")
    for copy, counts in held.items():
        verdict = "equal" if counts == expected else f"DIFFERENT, {expected} expected"
        watch.say(f"{name} in {copy}: {counts}: {verdict}")
    return [f"{name} in {copy}: {counts}, not {expected}" for copy, counts in held.items() if counts != expected]


async def _wrong_corrections(running: Launched, watch: Stopwatch, name: str) -> list[str]:
    # Only the history of PostgreSQL keeps every delivery: ClickHouse keeps the last one.
    if name not in CORRECTED:
        return []
    wrong = []
    for copy, dsn in (("primary", running.stack.primary_dsn()), ("replica", running.stack.replica_dsn())):
        found, known = await count_corrected(dsn, f"{name}/"), CORRECTED[name]
        watch.say(f"{name} in {copy}: {found} observations corrected: {'equal' if found == known else 'DIFFERENT'}")
        if found != known:
            wrong.append(f"{name} in {copy}: {found} observations corrected, not {known}")
    return wrong
