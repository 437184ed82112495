"""Admission: bounded for all and for each tenant, fair between tenants, refused with a time to come again."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

import pytest
from atlas_ingest.admission import Admission, AdmissionLimits
from atlas_ingest.drain_rate import LEAST, MOST, UNKNOWN, DrainRate
from atlas_ingest.fair_queue import Entry, FairQueue, QueueLimits
from atlas_ingest.token_bucket import Allowance, TokenBuckets
from atlaskit.errors import Overloaded
from hypothesis import given
from hypothesis import strategies as st

WIDE = QueueLimits(rows=10**9, size_bytes=10**12, tenant_share=1.0)
FREE = Allowance(0, 1)
SIZES = st.integers(1, 400)
ARRIVALS = st.lists(st.tuples(st.integers(1, 5), SIZES), max_size=80)


def entry(tenant: int, rows: int = 1, item: int = 0) -> Entry[int]:
    return Entry(tenant, rows, rows * 32, 0.0, item)


def drained(queue: FairQueue[int], rows: int) -> list[Entry[int]]:
    found: list[Entry[int]] = []
    while taken := queue.take(rows):
        found.extend(taken)
    return found


@given(ARRIVALS, st.integers(1, 500))
def test_all_come_out_once_and_each_tenants_in_their_order(arrivals: list[tuple[int, int]], rows: int) -> None:
    queue: FairQueue[int] = FairQueue(WIDE)
    for number, (tenant, size) in enumerate(arrivals):
        queue.push(entry(tenant, size, number))
    order: dict[int, list[int]] = defaultdict(list)
    for one in drained(queue, rows):
        order[one.tenant].append(one.item)
    assert sorted(item for items in order.values() for item in items) == list(range(len(arrivals)))
    assert all(earlier < later for items in order.values() for earlier, later in pairwise(items))
    assert queue.calls == queue.rows == queue.size_bytes == 0
    assert queue.oldest() is None


@given(st.lists(SIZES, min_size=1, max_size=60), st.lists(SIZES, min_size=1, max_size=60))
def test_two_tenants_that_wait_get_the_same_but_for_one_batch_each(ones: list[int], others: list[int]) -> None:
    queue: FairQueue[int] = FairQueue(WIDE)
    for tenant, sizes in ((1, ones), (2, others)):
        for size in sizes:
            queue.push(entry(tenant, size))
    left = {1: len(ones), 2: len(others)}
    served = {1: 0, 2: 0}
    while left[1] and left[2]:
        (one,) = queue.take(1)
        served[one.tenant] += one.rows
        left[one.tenant] -= 1
        # The bound of start-time fair queueing: the largest entries of both.
        assert abs(served[1] - served[2]) <= max(ones) + max(others)


def test_a_tenant_that_comes_late_does_not_wait_for_the_backlog_of_another() -> None:
    queue: FairQueue[int] = FairQueue(WIDE)
    for _ in range(1000):
        queue.push(entry(1, 50))
    queue.take(500)
    queue.push(entry(2, 1))
    assert 2 in [one.tenant for one in queue.take(100)]


@given(ARRIVALS, st.sets(st.integers(0, 79)), st.integers(1, 500))
def test_what_was_dropped_never_comes_out_and_holds_nothing(
    arrivals: list[tuple[int, int]], gone: set[int], rows: int
) -> None:
    queue: FairQueue[int] = FairQueue(WIDE)
    entries = [entry(tenant, size, number) for number, (tenant, size) in enumerate(arrivals)]
    for one in entries:
        queue.push(one)
    for number in sorted(gone):
        if number < len(entries):
            queue.drop(entries[number])
            queue.drop(entries[number])
    stays = [one for one in entries if one.item not in gone]
    assert (queue.calls, queue.rows) == (len(stays), sum(one.rows for one in stays))
    assert sorted(one.item for one in drained(queue, rows)) == [one.item for one in stays]


@given(ARRIVALS)
def test_the_bounds_hold_whatever_arrives(arrivals: list[tuple[int, int]]) -> None:
    limits = QueueLimits(rows=1000, size_bytes=1000 * 32, tenant_share=0.5)
    queue: FairQueue[int] = FairQueue(limits)
    held: dict[int, int] = defaultdict(int)
    for tenant, size in arrivals:
        if queue.refusal(tenant, size, size * 32) is None:
            queue.push(entry(tenant, size))
            held[tenant] += size
    assert queue.rows <= limits.rows
    assert all(rows <= limits.rows * limits.tenant_share for rows in held.values())


def test_one_tenant_cannot_fill_the_queue_for_others() -> None:
    queue: FairQueue[int] = FairQueue(QueueLimits(rows=100, size_bytes=10**6, tenant_share=0.5))
    queue.push(entry(1, 50))
    assert queue.refusal(1, 1, 32) == "TENANT_QUEUE_FULL"
    assert queue.refusal(2, 50, 32) is None
    queue.push(entry(2, 50))
    assert queue.refusal(3, 1, 32) == "QUEUE_FULL"


def test_only_whole_small_groups_pass_over_what_does_not_fit() -> None:
    queue: FairQueue[int] = FairQueue(WIDE)
    queue.push(entry(1, 100))
    queue.push(entry(2, 3))
    assert [one.tenant for one in queue.take(10, whole=True)] == [2]
    assert queue.take(10, whole=True) == []
    assert [one.tenant for one in queue.take(10)] == [1]


def test_the_rate_counts_only_the_time_in_which_somebody_commits() -> None:
    rate = DrainRate()
    assert rate.time_for(10**6) == UNKNOWN
    rate.began(0.0)
    rate.began(0.5)
    rate.ended(1.0, 5_000)
    rate.ended(2.0, 5_000)
    rate.began(1000.0)
    rate.ended(1001.0, 5_000)
    assert rate.rows_per_second() == pytest.approx(5_000, rel=0.15)


def test_failed_commits_lower_the_rate() -> None:
    rate = DrainRate()
    rate.began(0.0)
    rate.ended(1.0, 1_000)
    before = rate.time_for(1_000)
    rate.began(1.0)
    rate.ended(3.0, 0)
    assert rate.time_for(1_000) > before


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**6)), max_size=30), st.integers(0, 10**9))
def test_the_time_to_come_again_has_bounds(commits: list[tuple[float, int]], rows: int) -> None:
    rate, now = DrainRate(), 0.0
    for seconds, committed in commits:
        rate.began(now)
        now += seconds
        rate.ended(now, committed)
    assert LEAST <= rate.time_for(rows) <= MOST


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 300)), max_size=60))
def test_a_tenant_never_gets_more_than_its_burst_and_its_rate(calls: list[tuple[float, int]]) -> None:
    rate, burst = 100.0, 200.0
    buckets, now, sent = TokenBuckets(Allowance(rate, burst)), 0.0, 0
    for pause, rows in calls:
        now += pause
        if buckets.take(7, rows, now) is None:
            sent += rows
            # A batch larger than the burst leaves a debt of at most what it is larger by.
            assert sent <= burst + rate * now + max(rows - burst, 0) + 1e-6


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_refused_batch_is_taken_after_the_time_that_was_named(first: int, second: int) -> None:
    buckets = TokenBuckets(Allowance(50.0, 200.0))
    assert buckets.take(1, first, 0.0) is None
    wait = buckets.take(1, second, 0.0)
    if wait is not None:
        assert wait > timedelta(0)
        assert buckets.take(1, second, wait.total_seconds() + 1e-3) is None


def test_buckets_of_tenants_are_their_own_and_bounded() -> None:
    buckets = TokenBuckets(Allowance(1.0, 10.0), tenants=2)
    assert buckets.take(1, 10, 0.0) is None
    assert buckets.take(1, 1, 0.0) == timedelta(seconds=1)
    assert buckets.take(2, 10, 0.0) is None


def test_requests_in_work_hold_their_bytes_until_they_are_answered() -> None:
    admission = Admission(AdmissionLimits(100, FREE), FairQueue(WIDE), DrainRate(), lambda: 0.0)
    with admission.admitted(1, 1, 60):
        with pytest.raises(Overloaded) as refused, admission.admitted(2, 1, 60):
            pytest.fail("it must not come in")
        assert refused.value.reason == "IN_FLIGHT_FULL"
    with admission.admitted(2, 1, 1000):
        pass


def test_a_tenant_over_its_rate_is_refused_by_name() -> None:
    admission = Admission(AdmissionLimits(10**6, Allowance(10.0, 20.0)), FairQueue(WIDE), DrainRate(), lambda: 0.0)
    with admission.admitted(1, 20, 1):
        pass
    with pytest.raises(Overloaded) as refused, admission.admitted(1, 5, 1):
        pytest.fail("it must not come in")
    assert refused.value.reason == "TENANT_RATE_EXCEEDED"
    assert refused.value.retry_after == timedelta(seconds=0.5)
    with admission.admitted(2, 20, 1):
        pass
