"""What filters on current values cost by each way of keeping them: `make bench-hot`.

History as it is, history with indexes of values, typed slots, documents with GIN: the same drives, the same filters,
answers compared; and what each further index takes from ingest.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import asyncpg
from atlas_local.postgres import PostgresTuning
from atlas_local.scratch import scratch_cluster

from benchmarks.arms import fresh_database
from benchmarks.figures import Figure, say, store
from benchmarks.hot_load import (
    ATTRIBUTES,
    PER_ENTITY,
    SQL,
    Drives,
    Place,
    chunks,
    copy,
    load_drives,
    real_drives,
    settle,
)
from benchmarks.hot_queries import Filter, Statement, documents, eav, eav_by_value, filters, product, slots

Arm = Callable[[Place, Filter], Statement]
BESIDE: dict[str, Arm] = {"product": product, "slots": slots, "documents": documents, "history": eav}
BY_VALUE: dict[str, Arm] = {"slots": slots, "history by value": eav_by_value}  # once the history has indexes of values
SLOW = ("history", "history by value")
PATIENCE = 5.0  # seconds that one statement may take; one that takes longer is told as that long
INDEXES = {
    "none more": (),
    "composite on integers": ("bench_values_int",),
    "composite on every type here": ("bench_values_int", "bench_values_text", "bench_values_bool"),
    "covering on integers": ("bench_values_covering",),
    "BRIN on integers": ("bench_values_brin",),
}
Times = dict[tuple[str, str], list[float]]


class Rounds(NamedTuple):
    """How often each filter is asked; of these, how often also over the history."""

    all: int
    slow: int


async def measured(connection: asyncpg.Connection[Any], statement: Statement) -> tuple[float, list[int] | None]:
    """Return how long the statement took in milliseconds, and what it returned, None if it was given up."""
    prepared = await connection.prepare(statement.text)
    began = time.perf_counter()
    try:
        rows = await prepared.fetch(*statement.values)
    except asyncpg.exceptions.QueryCanceledError:
        return PATIENCE * 1000, None
    took = (time.perf_counter() - began) * 1000
    if any(row.get("doubt") for row in rows):
        raise RuntimeError("the planner's statement is in doubt, though every slot is filled")
    return took, [row["entity_id"] for row in rows if row["entity_id"] is not None]


async def compare(
    connections: Mapping[str, asyncpg.Connection[Any]],
    asked: Callable[[int], list[Filter]],
    place: Place,
    arms: dict[str, Arm],
    rounds: Rounds,
) -> Times:
    """Return the times of each arm and filter; the first round only warms up. Raises if two arms answer differently."""
    times: Times = defaultdict(list)
    for round_ in range(rounds.all + 1):
        for wanted in asked(round_):
            answers: dict[str, list[int]] = {}
            for name, arm in arms.items():
                if name in SLOW and round_ > rounds.slow:
                    continue
                took, answer = await measured(connections[name], arm(place, wanted))
                if round_:
                    times[wanted.name, name].append(took)
                if answer is not None:
                    answers[name] = answer
            if len({tuple(answer) for answer in answers.values()}) > 1:
                raise RuntimeError(f"{wanted}: { ({name: answer[:5] for name, answer in answers.items()}) }")
    return times


def quantile(times: Sequence[float], share: float) -> float:
    """Return the value that this share of the times is at or below."""
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


async def indexed(connection: asyncpg.Connection[Any], names: Sequence[str]) -> None:
    """Create these indexes and say how long each took and how large it is."""
    await connection.execute("SET statement_timeout = 0")
    for name in names:
        began = time.perf_counter()
        await connection.execute(SQL[name])
        took = time.perf_counter() - began
        say(f"  {name}: {took:.1f} s")
    await connection.execute("VACUUM ANALYZE")
    await connection.execute(f"SET statement_timeout = {int(PATIENCE * 1000)}")


def slot_index(slot: str) -> str:
    """Return the statement that makes the index of a slot, if the schema has none."""
    return (
        f"CREATE INDEX IF NOT EXISTS entity_hot_attributes_{slot} ON entity_hot_attributes "
        f"(tenant_id, {slot}_mapping, {slot}_deleted, {slot}) WHERE {slot}_mapping IS NOT NULL"
    )


async def reads(server: Any, drives: Drives, options: argparse.Namespace) -> dict[str, Figure]:
    """Measure the filters, print a table, and return the figures of P20 and P21."""
    async with fresh_database(server) as database:
        connection = await asyncpg.connect(database.dsn())
        try:
            place, took = await load_drives(connection, drives, options.entities)
            values = options.entities * PER_ENTITY
            say(f"{options.entities:,} entities, {values:,} values; COPY took {took.total_seconds():.0f} s")
            for one in ATTRIBUTES:
                await connection.execute(slot_index(one.slot))
            await indexed(connection, ["bench_documents_index"])
            asked = partial(filters, drives)
            # As the query router reads: under the policies of rows.
            reader = await asyncpg.connect(database.dsn("atlas_reader"))
            await reader.execute(SQL["bench_reader"].replace(":tenant", str(place.tenant_id)))
            on = {name: reader if name == "product" else connection for name in (*BESIDE, *BY_VALUE)}
            times = await compare(on, asked, place, BESIDE, Rounds(options.rounds, options.slow_rounds))
            await indexed(connection, INDEXES["composite on every type here"])
            again = await compare(on, asked, place, BY_VALUE, Rounds(options.slow_rounds, options.slow_rounds))
            times |= {key: column for key, column in again.items() if key[1] in SLOW}
            await reader.close()
        finally:
            await connection.close()
    for (name, arm), column in sorted(times.items()):
        half, most = quantile(column, 0.5), quantile(column, 0.99)
        say(f"{name:22} {arm:18} p50 {half:9.2f} ms  p99 {most:9.2f} ms  {len(column)} times")
    return figures(times, {wanted.name: wanted.equal for wanted in filters(drives, 0)})


def figures(times: Times, equal: dict[str, bool]) -> dict[str, Figure]:
    """Return p99 of the product beside the same by hand, and beside documents; low and high are those of one filter."""
    every = list(equal)
    ranges, equalities = ([name for name in every if equal[name] is wanted] for wanted in (False, True))
    return {
        "P20": ratio(times, every, "slots", "<= 1.5", "p99 of filters, the planner's statement / by hand over slots"),
        "P21a": ratio(
            times, ranges, "documents", "<= 0.5", "p99 of filters by ranges, the planner / documents with GIN"
        ),
        "P21b": ratio(times, equalities, "documents", "<= 1.0", "the same by equality"),
    }


def ratio(times: Times, names: Sequence[str], beside: str, goal: str, what: str) -> Figure:
    """Return the figure of the product beside another arm over these filters together."""
    ratios = [quantile(times[name, "product"], 0.99) / quantile(times[name, beside], 0.99) for name in names]
    ours, theirs = (
        quantile([took for name in names for took in times[name, arm]], 0.99) for arm in ("product", beside)
    )
    detail = f"{ours:.2f} / {theirs:.2f} ms; the range is that of the filters"
    return replace(Figure.of(ratios, goal, what, detail), value=ours / theirs)


async def ingests(server: Any, drives: Drives, options: argparse.Namespace) -> None:
    """Print what COPY takes with each further index, beside none, in turn."""
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.pairs):
        for name, indexes in INDEXES.items():
            async with fresh_database(server) as database:
                connection = await asyncpg.connect(database.dsn())
                try:
                    place = await settle(connection)
                    for index in indexes:
                        await connection.execute(SQL[index])
                    parts = list(chunks(drives, place, options.copied, seed=len(rates[name])))
                    began = time.perf_counter()
                    for rows in parts:
                        await copy(connection, rows)
                    rates[name].append(sum(map(len, parts)) / (time.perf_counter() - began))
                finally:
                    await connection.close()
    for name, column in rates.items():
        shares = [rate / none for rate, none in zip(column, rates["none more"], strict=True)]
        spread = f"{quantile(shares, 0.5):.2f} ({min(shares):.2f}..{max(shares):.2f})"
        say(f"COPY with {name:30} {quantile(column, 0.5):9,.0f} rows/s  ratio {spread}")


async def measure(options: argparse.Namespace) -> None:
    """Print the tables and store the figures."""
    drives = real_drives()
    async with scratch_cluster(PostgresTuning(shared_buffers="2GB"), replica=False) as cluster:
        found = await reads(cluster.primary, drives, options)
        for name, figure in found.items():
            say(figure.line(name))
        store("hot", found)
        await ingests(cluster.primary, drives, options)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=100, help="times that each filter is asked")
    parser.add_argument("--slow-rounds", type=int, default=5, help="of these, as many also over the history")
    parser.add_argument("--copied", type=int, default=20_000, help="entities of a COPY that is measured")
    parser.add_argument("--pairs", type=int, default=3)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
