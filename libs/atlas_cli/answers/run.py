"""The forty questions, asked of every source that may serve them, after the sets were loaded through gRPC."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from atlas_client import AtlasClient, CallFailed, ColumnBuilder, Source
from atlas_local.launch import Launched
from atlas_local.stack import StackOptions
from atlaskit.postgres import grants
from atlaskit.postgres.pool import open_pool
from rich.console import Console

from atlas_cli.answers import azure, backblaze, metar, snmp
from atlas_cli.answers.asking import TIMEOUT, Asking
from atlas_cli.answers.texts import difference, known_answers
from atlas_cli.copies import count_corrected
from atlas_cli.demo.run import Stopwatch, everything
from atlas_cli.loading import Ledger, load, progress_for
from atlas_cli.sets import SETS, DataSet, inputs_of
from atlas_cli.sets.metar import METAR, keys_of, opened
from atlas_cli.sets.totals import FOLDERS

Question = Callable[[Asking], Awaitable[str]]
QUESTIONS: Mapping[str, Mapping[str, Question]] = {
    "backblaze": backblaze.QUESTIONS,
    "azure": azure.QUESTIONS,
    "metar": metar.QUESTIONS,
    "snmp": snmp.QUESTIONS,
}
# Operational questions are answered by each copy, analytical ones by ClickHouse; `everywhere` asks all of each.
OPERATIONAL = (Source.PRIMARY, Source.REPLICA, Source.OLAP)
ANALYTICAL = (Source.OLAP,)
CALLER = "atlas-answers"
_CAUGHT_UP = timedelta(minutes=20)


class AnswersDiffer(Exception):
    """An answer is not the known one; the text names question, source and where they differ."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The sets; `twice`: each is loaded again, in another order; `everywhere`: all sources are asked all."""

    sets: tuple[str, ...] = tuple(FOLDERS)
    twice: bool = False
    everywhere: bool = False


async def answers(data: Path, options: StackOptions, console: Console, plan: Plan) -> None:
    """Load the sets and ask. Raises AnswersDiffer after the last question."""
    watch = Stopwatch(console)
    async with everything(options, watch, sample_ratio=0.001) as running:
        wrong = await ask_all(running, data, watch, plan)
    if wrong:
        raise AnswersDiffer("\n".join(wrong))


async def ask_all(running: Launched, data: Path, watch: Stopwatch, plan: Plan) -> list[str]:
    """Load and ask on services that run already; return what differs."""
    wrong = []
    await _grant(running)
    for name in plan.sets:
        await _load(running, data / FOLDERS[name], _loads_of(name), watch)
        if plan.twice:
            watch.say(f"{name} again, its files in the opposite order where it has no order of delivery")
            again = [replace(one, name=f"{one.name} again") for one in _loads_of(name)]
            await _load(running, data / FOLDERS[name], again, watch)
        wrong += await _ask(running, name, watch, plan)
    return wrong


async def _grant(running: Launched) -> None:
    """Let these questions read several tenants in one answer."""
    async with open_pool(running.stack.primary_dsn(), max_size=1) as pool, pool.lease() as session:
        await grants.add(session, CALLER, None, CALLER)


def _loads_of(name: str) -> list[DataSet]:
    return [SETS["snmp"], SETS["snmp-rows"]] if name == "snmp" else [SETS[name]]


async def _load(running: Launched, folder: Path, sets: list[DataSet], watch: Stopwatch) -> None:
    async with AtlasClient.connect(ingest=running.ingest, query=running.query, caller=CALLER) as atlas:
        for data_set in sets:
            inputs = inputs_of(data_set, [folder])
            if data_set.name.endswith(" again") and not data_set.ordered:
                inputs.reverse()
            with Ledger(None) as ledger:
                report = await load(atlas, data_set, inputs, ledger, progress_for(sys.stderr))
            token = report.token
            watch.say(f"{data_set.title}: {report.writes:,} values acknowledged; waiting for the copies")
            if data_set.name.startswith(METAR.name):
                token = await _load_deliveries(atlas, folder)
            tenant = next(iter(await atlas.list_tenants())).tenant_id
            for source in (Source.REPLICA, Source.OLAP):
                await atlas.for_tenant(tenant).wait_for_position(tenant, token, source, timeout=_CAUGHT_UP)


async def _ask(running: Launched, name: str, watch: Stopwatch, plan: Plan) -> list[str]:
    known = known_answers()
    wrong = []
    corrected = await count_corrected(running.stack.primary_dsn(), metar.SET) if name == "metar" else 0
    async with AtlasClient.connect(ingest=running.ingest, query=running.query, caller=CALLER) as atlas:
        tenants = {tenant.name: tenant.tenant_id for tenant in await atlas.list_tenants()}
        for number, question in QUESTIONS[name].items():
            operational = "-O" in number
            for source in OPERATIONAL if operational or plan.everywhere else ANALYTICAL:
                asking = Asking(atlas, tenants, source, corrected=corrected)
                differs = await _one(asking, number, question, known[number][1], watch)
                wrong += [f"{number} from {source.name.lower()}: {differs}"] if differs else []
    return wrong


async def _one(asking: Asking, number: str, question: Question, known: str, watch: Stopwatch) -> str:
    begun = time.monotonic()
    try:
        differs = difference(await question(asking), known)
    except CallFailed as failed:
        differs = str(failed)
    took = time.monotonic() - begun
    ages = [one.staleness for one in asking.certificates if one.staleness is not None]
    every = len(ages) == len(asking.certificates) and ages
    fresh = f"{max(ages).total_seconds() * 1000:.0f} ms" if every else "unknown"
    verdict = "equal" if not differs else f"DIFFERENT: {differs}"
    source = asking.source.name.lower()
    watch.say(f"{number} {source:8}{took:7.2f} s  {len(asking.certificates):4} calls, at most {fresh} stale: {verdict}")
    return differs


async def _load_deliveries(atlas: AtlasClient, folder: Path) -> str:
    """Write what of each delivered row two questions need, and return the token: see `answers.metar`."""
    tenant = (await atlas.create_tenant(metar.DELIVERIES, attribute_key_quota=10)).tenant_id
    own, token = atlas.for_tenant(tenant), ""
    for file in inputs_of(METAR, [folder]):
        builder = ColumnBuilder()
        for entity, snapshot, key, at_us, value in _deliveries(file.path, file.name):
            builder.add(entity, key, value, at_us, asset_type=snapshot)
        written = await own.write_columns(tenant, builder.build(), timeout=TIMEOUT)
        token = written.token
    return token


def _deliveries(path: Path, name: str) -> Iterator[tuple[str, str, str, int, str]]:
    """Yield entity, snapshot, key, event time and value of both keys of each row delivered."""
    snapshot = name.split(".")[2]
    with path.open("rb") as raw:
        header, rows = opened(raw, name)
    keys = keys_of(header)
    for place, (_, row) in enumerate(rows):
        cells = dict(zip(keys, row, strict=True))
        for key in ("metar_type", "flight_category"):
            if cells[key]:
                yield f"{snapshot}/{place:05}", snapshot, key, place, cells[key]
