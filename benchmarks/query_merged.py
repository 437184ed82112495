"""P19: reads with FINAL of the table that the sink writes into, beside the same of a copy that was merged whole."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from atlas.query.v1 import query_service_pb2 as pb
from atlas_local.migrations import migrate_clickhouse

from benchmarks.figures import Figure, say
from benchmarks.hot_load import DAY_US
from benchmarks.query_arms import Question, of_one_entity
from benchmarks.query_live import CORRECTED, LATER, Live
from benchmarks.query_load import LIMIT, Site, parts
from benchmarks.query_times import Times
from benchmarks.query_ways import OlapQuery, Stores, queries_of

COPIED = ("entities", "entity_analytics_events")
SHARE = 0.1  # of the entities has a value corrected before
ENTITIES = 20  # single reads for one of an aggregate


async def final_beside_merged(
    site: Site, stores: Stores, live: Live, rounds: int, tell: Callable[[str, Times], None]
) -> Figure:
    """Return P19: aggregates and reads of one entity, while the sink goes on inserting.

    Values are corrected first, so that FINAL has something to do; what is inserted during it is later than what is
    asked for, so that both tables have one answer. Raises RuntimeError if they have not."""
    await live.correct(int(site.entities * SHARE))
    await live.arrived()
    live_parts = await parts(stores.clickhouse)
    began = time.monotonic()
    await _merge(site, stores)
    say(f"merged copy in {time.monotonic() - began:.0f} s: {await parts(stores.merged)}, the live table {live_parts}")
    times, over = Times(), asyncio.Event()
    questions = [_question(site), *(_entity(site, number * 7 + 1) for number in range(ENTITIES))]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(live.observe(over))
        try:
            for round_ in range(rounds):
                for question in questions:
                    await _both(times, stores, await queries_of(stores.clickhouse, site, question), question, round_)
                times.next_round()
        finally:
            over.set()
    tell("final", times)
    every = {kind: times.ratios(kind, "live", "merged") for kind in times.kinds}
    worst = max(every, key=lambda kind: statistics.median(every[kind]))
    told = ", ".join(f"{kind} {statistics.median(ratios):.2f}" for kind, ratios in every.items())
    detail = f"{told}; {live_parts} beside {await parts(stores.merged)}, values written meanwhile"
    return Figure.of(every[worst], "<= 1.5", f"FINAL on the live table / on a merged copy, {worst}", detail)


async def _merge(site: Site, stores: Stores) -> None:
    await migrate_clickhouse(site.running.stack, "merged")
    for table in COPIED:
        await stores.merged.execute(f"TRUNCATE TABLE {table}")
        await stores.merged.execute(f"INSERT INTO {table} SELECT * FROM atlas.{table}", limit=LIMIT)  # noqa: S608
        await stores.merged.execute(f"OPTIMIZE TABLE {table} FINAL", limit=LIMIT)


def _entity(site: Site, entity: int) -> Question:
    question = of_one_entity(site, entity)[0]
    question.request.as_of_event_time.FromDatetime(LATER - timedelta(microseconds=1))
    return question


def _question(site: Site) -> Question:
    day = pb.Grouping()
    day.time_bucket.FromTimedelta(timedelta(microseconds=DAY_US))
    functions = (pb.AGGREGATE_FUNCTION_COUNT, pb.AGGREGATE_FUNCTION_SUM)
    request = pb.AggregateAttributeRequest(
        tenant_ids=[site.place.tenant_id],
        attribute_key=CORRECTED,
        aggregations=[pb.Aggregation(function=one) for one in functions],
        group_by=[day],
    )
    request.end_time.FromDatetime(LATER)
    return Question("by day", "AggregateAttribute", request, lambda answer: answer)


async def _both(times: Times, stores: Stores, queries: list[OlapQuery], question: Question, turn: int) -> None:
    tables = {"live": stores.clickhouse, "merged": stores.merged}
    names = list(tables)
    answers: dict[str, Any] = {}
    for name in names[turn % 2 :] + names[: turn % 2]:
        began = time.perf_counter()
        server = tables[name]
        answers[name] = await asyncio.gather(*(server.rows(one.text, one.parameters, **one.options) for one in queries))
        times.add(question.kind, name, (time.perf_counter() - began) * 1000)
    if answers["live"] != answers["merged"]:
        raise RuntimeError(f"{question.kind}: the merged copy answers otherwise: {answers}")
