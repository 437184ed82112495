"""P1 to P7, P22 and P23 of ingest against their baselines: `python -m benchmarks.ingest [--rows P1,P4]`.

Baseline and ours alternate, each on a fresh database of one PostgreSQL with the whole schema and fsync on. The service
and the load are processes of their own. On two cores PostgreSQL, the service and the load share what there is.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from atlas_local.postgres import PostgresServer, PostgresTuning
from atlas_local.scratch import scratch_cluster

from benchmarks.arms import (
    BARE,
    NAIVE,
    OURS,
    Measured,
    Options,
    beating,
    copying,
    fresh_database,
    offered,
    served,
)
from benchmarks.copying import copies
from benchmarks.figures import Figure, say, store

BATCH = 1_000
CALLERS = 8
SINGLE_CALLERS = 64
SLOW_COMMIT_US = 4_000  # what a flush takes on a disk without a protected cache
GROUPED = (3, 10_000)  # connections and rows of a commit, as ingest makes groups of batches
SECONDS = 4.0


class Ingest:
    """The rows of the measures, and what one of them learns that another needs."""

    def __init__(self, server: PostgresServer, pairs: int, seconds: float) -> None:
        self._server = server
        self._pairs = pairs
        self._seconds = seconds
        self._batched: list[Measured] = []
        self._singles: list[float] = []

    async def ours(
        self,
        program: Sequence[str] = OURS,
        *,
        commit_us: int = 0,
        beside: Options | None = None,
        traced: bool = False,
        **options: float | str,
    ) -> Measured:
        """Return what a load on a service over a fresh database gave."""
        fresh = fresh_database(self._server, commit_us=commit_us)
        async with fresh as database, served(database, program, traced=traced) as service:
            return await offered(database, service, beside=beside, **{"duration": self._seconds, **options})

    async def batched(self, program: Sequence[str] = OURS) -> Measured:
        """Return what batches in a closed loop gave."""
        return await self.ours(program, batch=BATCH, callers=CALLERS)

    async def peak(self) -> float:
        """Return the values a second that batches in a closed loop reach, the median of what was seen."""
        while len(self._batched) < min(self._pairs, 3):
            self._batched.append(await self.batched())
        return statistics.median(rate(measured) for measured in self._batched)

    async def p1(self) -> Figure:
        """Return the durable values a second against COPY of ready tuples."""
        ratios, seen = [], []
        for _ in range(self._pairs):
            baseline, micros = await copies(self._server, self._seconds, CALLERS, BATCH)
            self._batched.append(await self.batched())
            grouped, _ = await copies(self._server, self._seconds, *GROUPED)
            ours = rate(self._batched[-1])
            ratios.append(ours / baseline)
            seen.append((ours, baseline, grouped, micros))
        ours, baseline, grouped, micros = (statistics.median(column) for column in zip(*seen, strict=True))
        connections, rows = GROUPED
        detail = (
            f"{ours:,.0f} / {baseline:,.0f} values/s; {CALLERS} callers of {BATCH}, load and service share cores; "
            f"COPY costs its backends {micros:.2f} CPU us a value; {connections} connections with {rows:,} rows each "
            f"commit, as ingest groups them, reach {grouped:,.0f}"
        )
        return Figure.of(ratios, ">= 0.70", "batches over gRPC / COPY of ready tuples by asyncpg", detail)

    async def p2(self) -> Figure:
        """Return single values a second against one INSERT and commit a call."""
        ratios, seen = [], []
        for _ in range(self._pairs):
            naive, ours = await self._single_values()
            self._singles.append(ours)
            ratios.append(ours / naive)
            seen.append((ours, naive))
        ours, naive = (statistics.median(column) for column in zip(*seen, strict=True))
        slow_naive, slow = await self._single_values(commit_us=SLOW_COMMIT_US)
        detail = (
            f"{ours:,.0f} / {naive:,.0f} calls/s; {SINGLE_CALLERS} callers; beside it, not in the "
            f"ratio, with {SLOW_COMMIT_US / 1000:g} ms more for each flush of the log: {slow:,.0f} / {slow_naive:,.0f}"
        )
        return Figure.of(ratios, ">= 6", "single values, coalesced / one INSERT and commit a call over gRPC", detail)

    async def _single_values(self, *, commit_us: int = 0) -> tuple[float, float]:
        naive, ours = [
            await self.ours(program, commit_us=commit_us, batch=1, callers=SINGLE_CALLERS) for program in (NAIVE, OURS)
        ]
        return naive.offers["bench"]["calls_per_second"], ours.offers["bench"]["calls_per_second"]

    async def p3(self) -> Figure:
        """Return the median latency of single values at a tenth of capacity against a commit of one's own."""
        if not self._singles:
            measured = await self.ours(batch=1, callers=SINGLE_CALLERS)
            self._singles.append(measured.offers["bench"]["calls_per_second"])
        calls = statistics.median(self._singles) / 10
        ratios, seen = [], []
        for _ in range(self._pairs):
            naive, ours = [
                (await self.ours(program, batch=1, rate=calls)).offers["bench"]["p50_ms"] for program in (NAIVE, OURS)
            ]
            ratios.append(ours / naive)
            seen.append((ours, naive))
        ours, naive = (statistics.median(column) for column in zip(*seen, strict=True))
        detail = f"{ours:.2f} / {naive:.2f} ms at {calls:,.0f} calls/s"
        return Figure.of(ratios, "<= 1.3", "p50 of single values at 10 % load / of one INSERT and commit", detail)

    async def p4(self) -> Figure:
        """Return the CPU of the service against that of its PostgreSQL backends, for batches."""
        await self.peak()
        ratios = [measured.cpu.service / measured.cpu.backends for measured in self._batched]
        last = self._batched[-1]
        per_row = 1e6 / last.stored
        detail = (
            f"service {last.cpu.service * per_row:.2f}, backends {last.cpu.backends * per_row:.2f}, "
            f"load {last.cpu.generator * per_row:.2f} CPU us a value"
        )
        return Figure.of(ratios, "<= 0.35", "CPU of the service / of its PostgreSQL backends", detail)

    async def p5(self) -> Figure:
        """Return the values a second with ledger, beats and stored requests against without."""
        ratios, seen = [], []
        for _ in range(self._pairs):
            bare = rate(await self.batched(BARE))
            async with fresh_database(self._server) as database, served(database, OURS) as service, beating(database):
                measured = await offered(database, service, batch=BATCH, callers=CALLERS, duration=self._seconds)
            ratios.append(rate(measured) / bare)
            seen.append((rate(measured), bare))
        ours, bare = (statistics.median(column) for column in zip(*seen, strict=True))
        detail = f"{ours:,.0f} / {bare:,.0f} values/s"
        return Figure.of(ratios, ">= 0.95", "with ledger, beats and stored requests / without", detail)

    async def p6(self) -> Figure:
        """Return the goodput under three times the load that is possible against the greatest there is."""
        seconds = self._seconds * 15
        runs = []
        for _ in range(min(self._pairs, 3)):
            # Each has a peak of its own, taken just before and for as long: tables that grow, and a machine that slows
            # down, would count as loss.
            peak = rate(await self.ours(batch=BATCH, callers=CALLERS, duration=seconds))
            load = await self.ours(batch=BATCH, rate=3 * peak / BATCH, duration=seconds, timeout=5)
            runs.append((rate(load) / peak, peak, load))
        _, peak, measured = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
        offer = measured.offers["bench"]
        errors = ", ".join(f"{count:,} {reason}" for reason, count in sorted(offer["errors"].items()))
        memory = measured.cpu.service_memory / 2**20
        cores = f"{measured.cpu.generator / seconds:.2f} cores of it for the load, {measured.cpu.service / seconds:.2f}"
        detail = (
            f"{rate(measured):,.0f} / {peak:,.0f} values/s, each for {seconds:.0f} s, {cores} for the service; "
            f"{offer['answered']:,} of {offer['calls']:,} calls answered, the others: {errors}; "
            f"p99 {offer['p99_ms']:.0f} ms; at most {memory:.0f} MiB"
        )
        return Figure.of([ratio for ratio, *_ in runs], ">= 0.90", "goodput at 3 times the peak / the peak", detail)

    async def p7(self) -> Figure:
        """Return the 99th percentile of latency against the median at 70 % of capacity."""
        calls = 0.7 * await self.peak() / BATCH
        runs = [await self.ours(batch=BATCH, rate=calls) for _ in range(self._pairs)]
        offers = [run.offers["bench"] for run in runs]
        p50, p99 = (statistics.median(offer[name] for offer in offers) for name in ("p50_ms", "p99_ms"))
        detail = f"{p99:.1f} / {p50:.1f} ms at {calls:.0f} batches of {BATCH} a second"
        ratios = [offer["p99_ms"] / offer["p50_ms"] for offer in offers]
        return Figure.of(ratios, "<= 4", "p99 / p50 at 70 % of capacity", detail)

    async def p22(self) -> Figure:
        """Return the 99th percentile of a quiet tenant with another at 50 times its load against without."""
        quiet: dict[str, Any] = {"batch": 20, "rate": 50, "tenants": 1, "duration": self._seconds * 4}
        batches = quiet["rate"] * quiet["batch"] * 50 / BATCH
        hot = {"batch": BATCH, "rate": batches, "tenants": 1, "seed": 2}
        ratios, seen = [], []
        for _ in range(self._pairs):
            alone = (await self.ours(**quiet)).offers["bench"]["p99_ms"]
            both = await self.ours(**quiet, beside=hot)
            beside = both.offers["bench"]["p99_ms"]
            # As many rows that pass neither the service nor its database: what sharing the machine alone costs.
            async with fresh_database(self._server) as other, copying(other, batches):
                machine = (await self.ours(**quiet)).offers["bench"]["p99_ms"]
            ratios.append(beside / alone)
            seen.append((beside, alone, both.offers["beside"]["rows_per_second"], machine / alone))
        beside, alone, stored, machine = (statistics.median(column) for column in zip(*seen, strict=True))
        detail = (
            f"{beside:.1f} / {alone:.1f} ms; quiet 1,000, hot {stored:,.0f} values/s acknowledged; beside COPY of "
            f"as many rows into another database, without the service, {machine:.2f}"
        )
        return Figure.of(ratios, "<= 1.5", "p99 of a quiet tenant beside one at 50 times its load / alone", detail)

    async def p23(self) -> Figure:
        """Return the values a second with one trace in a hundred recorded against none."""
        ratios, seen = [], []
        for _ in range(self._pairs):
            (off, on), (single_off, single_on) = [
                [rate(await self.ours(traced=traced, batch=batch, callers=callers)) for traced in (False, True)]
                for batch, callers in ((BATCH, CALLERS), (1, SINGLE_CALLERS))
            ]
            ratios.append(on / off)
            seen.append((on, off, single_on / single_off))
        on, off, singly = (statistics.median(column) for column in zip(*seen, strict=True))
        detail = f"{on:,.0f} / {off:,.0f} values/s in batches of {BATCH}; ingest alone; of single values {singly:.2f}"
        return Figure.of(ratios, ">= 0.97", "batches with 1 % of traces recorded / without tracing", detail)


ROWS: dict[str, Callable[[Ingest], Awaitable[Figure]]] = {
    name.upper(): getattr(Ingest, name) for name in ("p1", "p2", "p3", "p4", "p5", "p6", "p7", "p22", "p23")
}


def rate(measured: Measured) -> float:
    """Return the values a second that were acknowledged."""
    return float(measured.offers["bench"]["rows_per_second"])


async def measure(names: Sequence[str], pairs: int, seconds: float) -> None:
    """Measure the rows, print each when it is there, and store them."""
    tuning = PostgresTuning(shared_buffers="512MB", max_wal_size="8GB")
    async with scratch_cluster(tuning, replica=False) as cluster:
        ingest = Ingest(cluster.primary, pairs, seconds)
        for name in names:
            began = time.perf_counter()
            figure = await ROWS[name](ingest)
            say(f"{figure.line(name)}  [{time.perf_counter() - began:.0f} s]")
            store("ingest", {name: figure})


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, with commas between them")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs for each")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measured in each run")
    arguments = parser.parse_args()
    names = arguments.rows.upper().split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    asyncio.run(measure(names, arguments.pairs, arguments.seconds))


if __name__ == "__main__":
    main()
