"""The load generator offers what it says: new identities, the skew of real data, latencies from when a call was due."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas_cli.bench.batches import Repeated, TenantLoad
from atlas_cli.bench.latencies import Latencies
from atlas_cli.bench.offer import Offer, Outcome, dealt, run
from atlas_cli.bench.skew import tenant_shapes
from atlas_client import rows_of


def test_percentiles_are_within_two_percent_of_the_exact_ones() -> None:
    drawn = random.Random(7)
    times = [drawn.lognormvariate(-6, 1.5) for _ in range(20_000)]
    latencies = Latencies()
    for time in times:
        latencies.add(time)
    times.sort()
    for percent in (50, 90, 99, 99.9, 100):
        exact = times[math.ceil(len(times) * percent / 100) - 1]
        assert exact <= latencies.percentile(percent) <= exact * 1.0201
    assert latencies.greatest == times[-1]
    assert math.isnan(Latencies().percentile(50))


def test_shares_of_tenants_are_those_of_the_sets() -> None:
    shapes = tenant_shapes(52)
    assert sum(shape.share for shape in shapes) == pytest.approx(1)
    assert shapes[0].share == pytest.approx(0.335, abs=0.005)
    assert all(earlier.share >= later.share for earlier, later in pairwise(shapes))
    assert len(tenant_shapes(60)) == 60


@pytest.mark.parametrize("rows", [1, 37, 500])
def test_no_two_items_have_one_identity_however_often_a_request_is_repeated(rows: int) -> None:
    load = Repeated(TenantLoad(7, tenant_shapes(30)[20], rows, seed=3), 4)
    seen: set[tuple[object, ...]] = set()
    ids = set()
    for _ in range(12):
        request = load.next()
        ids.add(request.request_id)
        if request.WhichOneof("batch") == "rows":
            items: list[tuple[object, ...]] = [
                (w.entity_key, w.attribute_key, w.event_time.ToMicroseconds()) for w in request.rows.writes
            ]
        else:
            items = [(w.entity, w.attribute, w.event_time) for w in rows_of(request.columns)]
        assert len(items) == rows
        seen.update(items)
    assert (len(seen), len(ids)) == (12 * rows, 12)


def test_the_same_seed_makes_the_same_load() -> None:
    first, second = (TenantLoad(7, tenant_shapes(1)[0], 50, seed=5).request() for _ in range(2))
    assert first.columns == second.columns
    assert first.columns != TenantLoad(7, tenant_shapes(1)[0], 50, seed=6).request().columns


class Slow:
    """A service that answers one call at a time, each after a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def WriteAttributes(self, request: Any, timeout: float, metadata: object) -> pb.WriteAttributesResponse:  # noqa: N802
        async with self._turn:
            await asyncio.sleep(self._seconds)
        return pb.WriteAttributesResponse(stored_count=1)


def offer(**options: Any) -> Offer:
    load = Repeated(TenantLoad(7, tenant_shapes(1)[0], 1, seed=1), 2)
    return Offer([load], [1.0], timedelta(seconds=0.5), **options)


async def test_in_an_open_loop_a_slow_service_does_not_slow_the_load_and_latency_counts_from_when_it_was_due() -> None:
    outcome = await run(offer(rate=100), [Slow(0.02)], Outcome())
    assert 30 <= outcome.calls <= 75  # drawn, about 50; a closed loop would have made 25
    assert outcome.answered == outcome.calls
    assert outcome.latencies.percentile(99) > 0.2  # the last ones stood in the queue


async def test_a_closed_loop_has_one_call_a_caller() -> None:
    outcome = await run(offer(callers=1), [Slow(0.02)], Outcome())
    assert outcome.answered <= 25
    assert outcome.latencies.percentile(50) < 0.1


def test_streams_are_dealt_out_to_tenants_by_their_weight() -> None:
    assert dealt([1.0], 3) == [0, 0, 0]
    assert dealt([0.5, 0.3, 0.2], 1) == [0]
    assert Counter(dealt([0.5, 0.3, 0.2], 10)) == {0: 5, 1: 3, 2: 2}
    assert Counter(dealt([1, 1, 1, 1], 8)) == {0: 2, 1: 2, 2: 2, 3: 2}


async def test_what_is_due_while_too_many_wait_is_not_sent_and_counted() -> None:
    outcome = await run(offer(rate=400, outstanding=5), [Slow(0.05)], Outcome())
    assert outcome.errors == Counter(NOT_SENT=outcome.errors["NOT_SENT"])
    assert outcome.errors["NOT_SENT"] > 50
    assert outcome.calls == outcome.answered <= 20
