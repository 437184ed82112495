"""What reads cost through the router, beside the same and other ways straight at the stores: `make bench-query`.

P18 to P21 over all services, latencies of the operational and of the analytical class, and the plans of all questions.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_query_router.postgres_backends import by_values
from atlaskit.model import Source
from grpc import aio

from benchmarks.figures import RESULTS, Figure, say, store
from benchmarks.hot_load import PER_ENTITY, Drives, real_drives
from benchmarks.hot_queries import Filter, filters
from benchmarks.query_aggregates import analytical
from benchmarks.query_arms import Question, filtered, of_one_entity
from benchmarks.query_live import Live, open_live
from benchmarks.query_load import Site, drives_everywhere
from benchmarks.query_merged import final_beside_merged
from benchmarks.query_plans import Plans
from benchmarks.query_times import Times, added, filters_beside
from benchmarks.query_ways import (
    OlapQuery,
    Router,
    Stores,
    Way,
    asked_of,
    by_document,
    by_hand,
    by_olap_hand,
    by_queries,
    by_statement,
    queries_of,
    statement_of,
    stores,
)

ROUNDS = 5
FILTERS = 20  # rounds of filters with other constants
OPEN_RATE = 50  # reads a second in the open loop
MOST = 600  # seconds that all copies may take to prove that they are fresh


class Bench(NamedTuple):
    """All that a stage needs."""

    site: Site
    drives: Drives
    filters: list[list[Filter]]  # of rounds, which begin again after the last one
    router: Router
    stores: Stores
    plans: Plans
    live: Live
    asks: int  # questions of a kind in a round


async def by_entity(bench: Bench, source: Source) -> Times:
    """Ask about single entities of the primary or the replica."""
    times, random = Times(), Random(source)
    for round_ in range(ROUNDS + 1):
        for number in range(bench.asks):
            for question in of_one_entity(bench.site, random.randrange(bench.site.entities)):
                await times.ask(question, await _ways(bench, source, question), number)
        _warm(times, round_)
    return times


async def by_filter(bench: Bench, source: Source, asks: int) -> Times:
    """Ask for pages of entities by their values."""
    times = Times()
    for round_ in range(ROUNDS + 1):
        for number in range(asks):
            for wanted in bench.filters[(round_ * asks + number) % FILTERS]:
                question = filtered(bench.site, wanted)
                await times.ask(question, await _ways(bench, source, question), number)
        _warm(times, round_)
    return times


async def _ways(bench: Bench, source: Source, question: Question) -> dict[str, Way]:
    planned_anew = by_values(asked_of(question))
    reading, direct = bench.stores.readers[source, planned_anew], bench.stores.direct[source]
    statement = await statement_of(reading, bench.site, question)
    await bench.plans.of_postgres(f"{source}: {question.kind}", reading, statement)
    ways = {"router": bench.router.way(source), "same": by_statement(reading, statement)}
    if question.hand is not None:
        await bench.plans.of_postgres(f"{source}: {question.kind}, by hand", direct, question.hand)
        ways["hand"] = by_hand(direct)
    if question.document is not None:
        await bench.plans.of_postgres(f"{source}: {question.kind}, documents", direct, question.document)
        ways["documents"] = by_document(direct)
    return ways


async def olap_by_entity(bench: Bench) -> Times:
    """Ask ClickHouse about single entities."""
    times, random = Times(), Random(3)
    for round_ in range(ROUNDS + 1):
        for number in range(max(bench.asks // 5, 4)):
            for question in of_one_entity(bench.site, random.randrange(bench.site.entities)):
                queries = await queries_of(bench.stores.clickhouse, bench.site, question)
                await bench.plans.of_clickhouse(f"olap: {question.kind}", bench.stores.clickhouse, queries)
                await times.ask(question, _olap_ways(bench, queries), number)
        _warm(times, round_)
    return times


def _olap_ways(bench: Bench, queries: list[OlapQuery]) -> dict[str, Way]:
    return {"router": bench.router.way(Source.OLAP), "same": by_queries(bench.stores.clickhouse, queries)}


async def aggregates(bench: Bench) -> Times:
    """Ask ClickHouse the analytical questions, and the same by hand of it, of PostgreSQL and of documents."""
    times = Times()
    asked = []
    direct = bench.stores.direct[Source.REPLICA]
    for question in analytical(bench.site, bench.drives):
        queries = await queries_of(bench.stores.clickhouse, bench.site, question)
        await bench.plans.of_clickhouse(f"olap: {question.kind}", bench.stores.clickhouse, queries)
        ways = _olap_ways(bench, queries)
        if question.olap:
            ways["hand"] = by_olap_hand(bench.stores.clickhouse)
        if question.hand is not None:
            ways["postgres"] = by_hand(direct)
            await bench.plans.of_postgres(f"replica: {question.kind}, by hand", direct, question.hand)
        if question.document is not None:
            ways["documents"] = by_document(direct)
            await bench.plans.of_postgres(f"replica: {question.kind}, documents", direct, question.document)
        asked.append((question, ways))
    for round_ in range(ROUNDS):
        for question, ways in asked:
            await times.ask(question, ways, round_)
        times.next_round()
    return times


def _warm(times: Times, round_: int) -> None:
    """End a round; the first one only warms up."""
    if round_ == 0:
        times.forget()
    else:
        times.next_round()


async def open_loop(bench: Bench, seconds: float) -> Times:
    """Ask operational questions at random instants of where the router chooses, each counted from when it was due."""
    times, random = Times(), Random(5)
    loop = asyncio.get_running_loop()
    way, ends = bench.router.way(None), loop.time() + seconds
    number, due = 0, loop.time()

    async def one(question: Question, since: float) -> None:
        await way(question)
        times.add(question.kind.partition(":")[0], "open", (loop.time() - since) * 1000)

    async with asyncio.TaskGroup() as tasks:
        while due < ends:
            due += random.expovariate(OPEN_RATE)
            await asyncio.sleep(max(due - loop.time(), 0))
            questions = of_one_entity(bench.site, random.randrange(bench.site.entities))
            every = bench.filters[number % FILTERS]
            questions.append(filtered(bench.site, every[number % len(every)]))
            tasks.create_task(one(questions[number % len(questions)], due))
            number += 1
    return times


async def with_writes(bench: Bench, seconds: float) -> Times:
    """Do the same while values are written."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.live.observe(over))
        times = await open_loop(bench, seconds)
        over.set()
    return times


async def stages(bench: Bench, seconds: float) -> tuple[dict[str, Figure], list[str]]:
    """Measure everything and return the figures and the table of times."""
    lines: list[str] = []
    found: dict[str, Figure] = {}

    def tell(heading: str, times: Times) -> None:
        told = times.lines(heading)
        lines.extend(told)
        say("\n".join(told))

    def figure(name: str, one: Figure) -> None:
        found[name] = one
        say(one.line(name))

    for name, source, asks in (("P18a", Source.PRIMARY, bench.asks // 5), ("P18b", Source.REPLICA, bench.asks)):
        single, pages = await by_entity(bench, source), await by_filter(bench, source, max(asks, 4))
        tell(source, single)
        tell(source, pages)
        figure(name, added(single.with_all(pages), source))
    equal = {f"list: {one.name}": one.equal for one in bench.filters[0]}
    ranges, equalities = ([kind for kind in equal if equal[kind] is wanted] for wanted in (False, True))
    figure(
        "P20", filters_beside(pages, list(equal), "hand", "<= 1.5", "p99 of filters, the router / by hand over slots")
    )
    what = "p99 of filters by ranges, the router / documents with GIN"
    figure("P21a", filters_beside(pages, ranges, "documents", "<= 0.5", what))
    figure("P21b", filters_beside(pages, equalities, "documents", "<= 1.0", "the same by equality"))
    tell("idle", await open_loop(bench, seconds))
    single, many = await olap_by_entity(bench), await aggregates(bench)
    tell("olap", single)
    tell("olap", many)
    figure("P18c", added(single.with_all(many), "OLAP"))
    figure("P19", await final_beside_merged(bench.site, bench.stores, bench.live, ROUNDS, tell))
    tell("writes", await with_writes(bench, seconds))
    return found, lines


async def measure(options: argparse.Namespace) -> None:
    """Load, measure, print, and store the figures."""
    drives = real_drives()
    plans = Plans()
    directory = Path(options.data_dir) if options.data_dir else None
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(drives_everywhere(drives, options.entities, directory))
        query = await stack.enter_async_context(aio.insecure_channel(site.running.query))
        ingest = await stack.enter_async_context(aio.insecure_channel(site.running.ingest))
        router = Router(pb_grpc.QueryServiceStub(query))
        bench = Bench(
            site,
            drives,
            [filters(drives, round_) for round_ in range(FILTERS)],
            router,
            await stack.enter_async_context(stores(site)),
            plans,
            open_live(ingest, router.stub, site),
            options.asks,
        )
        await router.proven(site.place.tenant_id, MOST)
        found, lines = await stages(bench, options.seconds)
    say(f"{router.unknown} of {router.answers} answers of unknown staleness; {bench.live.written:,} values written")
    store("query", found)
    plans.write()
    values = options.entities * PER_ENTITY
    size = f"{options.entities:,} drives, {values:,} values, {options.asks} questions a kind and round"
    (RESULTS / "query.notes").write_text("\n".join([size, *lines]) + "\n", "utf-8")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=50_000)
    parser.add_argument("--asks", type=int, default=20, help="questions of a kind in each of five rounds")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each open loop")
    parser.add_argument("--data-dir", help="keep the loaded stores there, and use them again if they are there")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
