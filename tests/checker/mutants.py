"""Mutants: one wrong decision each, put into the running services by a test-only switch, and the check that kills it.

A checker that finds nothing proves nothing unless it finds these. Nothing of this is in the product: each mutant
replaces a function or a method of it for the length of one simulated run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.reading import PrimaryMode
from checker import history as h
from checker import mutations as m
from checker.sim.clients import Pace
from checker.sim.faults import Planned
from checker.sim.run import Plan, Run

BUSY = Pace(0.05, 0.02)
Mutation = Callable[[Run], AbstractContextManager[object]]


@dataclass(frozen=True)
class Mutant:
    """What is broken, how, and which check has to notice within `seeds` seeds of `plan`."""

    name: str
    breaks: str
    killed_by: tuple[str, ...]
    mutate: Mutation | None = None
    plan: Callable[[int], Plan] = Plan
    rewrite: Callable[[h.History], h.History] | None = None
    seeds: int = 20
    quick: bool = False  # one of those that a short run shows
    first: int = 1  # of the seeds: the search begins at the one that showed it when this was written

    def planned(self, seed: int) -> Plan:
        # Only these two need the healing and the rest.
        plan = replace(self.plan(seed), to_the_end=bool({"C6", "C10"} & set(self.killed_by)))
        if self.mutate is not None:
            plan = replace(plan, mutate=self.mutate)
        return replace(plan, rewrite=self.rewrite)


def _put(*changes: tuple[Any, str, Any]) -> Mutation:
    @contextmanager
    def mutate(_: Run) -> Iterator[None]:
        with ExitStack() as stack:
            for target, name, value in changes:
                stack.enter_context(patch.object(target, name, value, create=True))
            yield

    return mutate


def _faults(*planned: tuple[Any, ...], mode: PrimaryMode | None = None, **more: Any) -> Callable[[int], Plan]:
    faults = tuple(Planned(*one) for one in planned)
    return lambda seed: Plan(seed, **{"planned": faults, "mode": mode, **more})


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "replica-one-statement",
        "the replayed position is read in the statement of the query",
        ("C1",),
        _put((m.postgres_backends.ReplicaBackend, "read", m.one_statement)),
        _faults(("replay-slow", "", 0.3, 7.5, 0.4), ("slow-queries", "", 0.5, 7.0, 0.2), readers=32, pace=BUSY),
        first=2,
    ),
    Mutant(
        "fence-stamped-late",
        "a fence is stamped after its answer",
        ("C1",),
        _put((m.monitor_primary.Primary, "fences", m.stamped_late)),
        _faults(("slow-link", "lag-monitor|pg-a", 0.5, 7.0, 0.2), ("replay-slow", "", 0.5, 7.0, 0.4)),
        quick=True,
    ),
    Mutant(
        "replica-polled-lag",
        "the polled lag is claimed",
        ("C1",),
        m.polled_lag,
        _faults(("replay-paused", "", 1.0, 3.0)),
        first=3,
    ),
    Mutant(
        "replica-unknown-is-zero",
        "an unknown lag counts as 0",
        ("C1",),
        _put((m.postgres_backends, "prove_replica", m.unknown_is_zero)),
        _faults(("cut", "pg-a|pg-b", 0.5, 7.5), ("kill", "lag-monitor", 5.0, 0.3)),
        first=8,
    ),
    Mutant("wall-clock", "ages are differences of wall clocks", ("C1",), m.wall_clock, quick=True),
    Mutant(
        "claim-relative-to-the-answer",
        "a claim is one about the sending of the answer",
        ("C1",),
        None,
        _faults(("slow-link", "clients|query-router", 0.5, 7.0)),
        rewrite=m.relative_to_the_answer,
        quick=True,
    ),
    Mutant(
        "claim-as-of-the-poll",
        "the age that was known when the source was chosen is claimed",
        ("C1",),
        _put((Proof, "staleness", m.as_of_the_poll)),
    ),
    Mutant(
        "replica-position-cached",
        "a replayed position outlives the connection that it was read on, across a crash of the standby",
        ("C1",),
        m.cached_position,
        _faults(*(("standby-crash", "", 0.5 + 2 * step, 0.15, 1.2) for step in range(4)), readers=16, pace=BUSY),
    ),
    Mutant(
        "replica-position-of-another",
        "the position of another server is taken",
        ("C1",),
        m.position_of_another,
        _faults(("replay-slow", "", 0.5, 7.0)),
        quick=True,
    ),
    Mutant(
        "olap-published-early",
        "a watermark is published before its rows are acknowledged",
        ("C1",),
        m.published_early,
    ),
    Mutant(
        "olap-greatest-watermark",
        "the greatest watermark of the shards counts, not the least",
        ("C1",),
        _put((m.proofs, "min", max)),
        _faults(*(("partition-stalled", "", 0.3 + at, 0.9) for at in range(7))),
        first=2,
    ),
    Mutant(
        "olap-beat-in-one-partition",
        "the beat of shard 0 stands for all",
        ("C1",),
        _put((m.olap_backend, "prove_olap", m.shard_zero)),
        _faults(*(("partition-stalled", "", 0.3 + at, 0.9) for at in range(7))),
        first=2,
    ),
    Mutant(
        "olap-one-shard-of-a-tenant",
        "the watermark of one shard is taken for a tenant on several",
        ("C1",),
        _put((m.olap_backend, "prove_olap", m.one_place_for_all)),
        _faults(*(("partition-stalled", "", 0.3 + at, 0.9) for at in range(7))),
        first=2,
    ),
    Mutant("olap-without-final", "versions are not collapsed", ("C1",), m.without_final, quick=True),
    Mutant(
        "olap-filter-before-final",
        "a filter is applied before versions are collapsed",
        ("C1",),
        m.filtered_before_final,
    ),
    Mutant(
        "olap-version-by-time",
        "the version of a row is its time of ingestion",
        ("C1",),
        m.version_by_time,
        _faults(
            ("connector-slow", "", 2.5, 5.4, 40),
            ("connector-restart", "", 3.0, 0.2, 200),
            ("connector-restart", "", 5.5, 0.2, 200),
            pace=BUSY,
            corrections=0.6,
        ),
    ),
    Mutant(
        "olap-dedup-by-offset",
        "inserts are deduplicated by where they begin",
        ("C1",),
        m.dedup_by_offset,
        _faults(("clickhouse-restart", "", 2.0, 0.5), ("clickhouse-restart", "", 5.0, 0.5)),
    ),
    Mutant(
        "epoch-ignored",
        "a token or a claim of another epoch counts",
        ("C1", "C5", "C8"),
        _put((m.proofs, "_may_have_lost", m.never_lost), (m.routing, "covers", m.covers_any_epoch)),
        _faults(("cut", "pg-a|pg-b", 1.0, 5.0), ("promotion", "", 2.0, 5.0), mode=PrimaryMode.SINGLE),
    ),
    Mutant(
        "fallback-not-flagged",
        "a degraded answer is not flagged",
        ("C8",),
        _put((m.router, "certify", m.never_degraded)),
        quick=True,
    ),
    Mutant(
        "acknowledged-before-durable",
        "a commit is acknowledged before it is on disk",
        ("C1",),
        m.acknowledged_before_durable,
        _faults(("primary-crash", "", 2.0, 0.4), ("primary-crash", "", 5.0, 0.4)),
    ),
    Mutant(
        "request-id-ignored",
        "a repeat of a request is stored again, though what it wrote was corrected meanwhile",
        ("C1",),
        m.request_ids_ignored,
        _faults(
            *(("slow-link", "clients|ingest", 0.5 + step, 0.25, 4.0) for step in range(5)), pace=BUSY, corrections=0.6
        ),
        first=2,
    ),
    Mutant(
        "tenant-filter-dropped",
        "one copy answers with every tenant's rows",
        ("C7", "C2", "C3"),
        m.every_tenant,
        quick=True,
    ),
    Mutant(
        "pushed-age",
        "a reading counts from its arrival, without the nonce",
        ("C1",),
        m.pushed_age,
        _faults(("slow-link", "query-router|lag-monitor", 0.5, 7.0, 0.2), ("replay-slow", "", 0.5, 7.0, 0.4)),
        quick=True,
    ),
    Mutant(
        "beat-reused",
        "the number of a beat in doubt is used again",
        ("C1",),
        _put((m.monitor_primary.Primary, "_beat", m.reused_beat)),
        _faults(
            *(("one-way", "lag-monitor|pg-a", 0.5 + step, 0.6, 0) for step in range(7)),
            ("connector-slow", "", 0.3, 7.5, 512),
            ("slow-fsync", "", 0.3, 7.5, 0.06),
            pace=BUSY,
            knobs={"beat_timeout": timedelta(milliseconds=200)},
        ),
    ),
    Mutant(
        "beat-of-another-monitor",
        "the beats of another monitor count",
        ("C1",),
        _put((m.olap_backend, "prove_olap", m.any_monitor)),
        _faults(("kill", "lag-monitor", 3.0, 0.2), ("connector-slow", "", 0.5, 7.0)),
    ),
    Mutant(
        "versions-from-blocks",
        "transaction numbers are handed out ahead, in blocks",
        ("C1", "C4"),
        _put((m.pg_writer.Writer, "reserve", m.blocks)),
    ),
    Mutant(
        "incarnation-not-read",
        "watermarks of an earlier life of ClickHouse count",
        ("C1",),
        m.no_incarnation,
        _faults(
            ("clickhouse-restart", "", 2.0, 0.3),
            ("pause", "olap-sink", 2.0, 2.0),
            ("clickhouse-restart", "", 5.0, 0.3),
            ("pause", "olap-sink", 5.0, 2.0),
        ),
        first=2,
    ),
    Mutant(
        "incarnation-not-read-again",
        "the incarnation is not read after the query",
        ("C1",),
        m.incarnation_read_once,
        _faults(
            *itertools.chain.from_iterable(
                (
                    ("pause", "query-router", at, 0.6),
                    ("clickhouse-restart", "", at + 0.1, 0.2, 20),
                    ("pause", "olap-sink", at, 1.2),
                )
                for at in (1.0, 3.0, 5.0)
            ),
            readers=24,
            pace=BUSY,
        ),
        first=9,
    ),
    Mutant(
        "fence-of-an-ex-primary",
        "under a quorum a fence counts without an acknowledged beat",
        ("C1",),
        m.fences_of_anyone,
        _faults(("promotion", "", 1.0, 5.0), mode=PrimaryMode.QUORUM),
        first=5,
    ),
    Mutant(
        "primary-identity-not-read",
        "which server answers is not read on its connection",
        ("C1",),
        _put((m.postgres_backends, "prove_primary", m.any_primary)),
        _faults(("promotion", "", 1.0, 5.0), mode=PrimaryMode.QUORUM),
        first=2,
    ),
    Mutant(
        "primary-covers-what-waits",
        "under a quorum the primary covers what it flushed and does not show yet",
        ("C4", "C5"),
        _put((m.postgres_backends, "prove_primary", m.flushed_is_shown)),
        _faults(
            *(("one-way", "pg-a|pg-b", 0.5 + step, 0.7, 0.0) for step in range(7)),
            mode=PrimaryMode.QUORUM,
            pace=BUSY,
        ),
        first=2,
    ),
    Mutant(
        "ledger-ignored",
        "rows that the ledger counts and nobody sent are not missed",
        ("C1",),
        m.ledger_ignored,
        _faults(*(("event-dropped", "", 0.5 + step, 0.2, 3) for step in range(7)), pace=BUSY),
        quick=True,
    ),
    Mutant(
        "vector-ignored",
        "the vector of a beat is not compared with the ledger",
        ("C1",),
        m.vector_ignored,
        _faults(*(("transaction-dropped", "", 0.5 + step, 0.2, 2) for step in range(7)), pace=BUSY),
        first=6,
    ),
    Mutant(
        "vector-compared-with-equal",
        "the vector of a beat must be the ledger's, not at most that",
        ("C10",),
        m.vector_compared_with_equal,
        _faults(("connector-slow", "", 0.5, 2.0), pace=BUSY),
    ),
    Mutant(
        "repair-only-inserts",
        "a repair after a failover deletes nothing",
        ("C2", "C6"),
        m.repair_only_inserts,
        _faults(("cut", "pg-a|pg-b", 1.0, 5.0), ("promotion", "", 2.0, 3.0), mode=PrimaryMode.SINGLE),
    ),
    Mutant(
        "poison-skipped",
        "an event that cannot be read does not hold up the watermark",
        ("C1",),
        m.poison_skipped,
        _faults(*(("poisoned", "", 0.5 + step, 0.2, 3) for step in range(7)), pace=BUSY),
    ),
)
