"""Group commit: what waits together commits together, nothing acknowledged is lost, nothing waits without a bound."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas_ingest import validation
from atlas_ingest.batcher import GroupCommit, group_commit
from atlas_ingest.decoding import draft_of_rows
from atlas_ingest.draft import MAX_ITEMS
from atlas_ingest.fair_queue import Entry, FairQueue, QueueLimits
from atlas_ingest.gathering import Crowd, Limits, gathering, holding
from atlas_ingest.groups import AtOnce, Outcome
from atlas_ingest.settings import Settings
from atlaskit.batch import Answer, WriteBatch, Written
from atlaskit.config import load
from atlaskit.errors import AtlasError, ConfigurationWrong, Overloaded, RequestIdReused, Unavailable
from atlaskit.model import MAX_ROWS_PER_TRANSACTION, EntityIdentity, Tenant
from atlaskit.position import Lsn, Token
from opentelemetry.trace import NoOpTracer

Eventually = Callable[..., Awaitable[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = Tenant(1, "t", EntityIdentity.NUMBERED, 10, 10, b"k" * 16, NOW)
PATIENT = timedelta(seconds=60)
QUEUE = QueueLimits(rows=4, size_bytes=10**6, tenant_share=1)
LIMITS = Limits(queue=QUEUE, group_rows=3, transaction=timedelta(seconds=5))
ROOMY = LIMITS._replace(queue=QUEUE._replace(rows=1000))


def batch(rows: int = 1) -> WriteBatch:
    writes = [
        pb2.AttributeWrite(entity_id=n, attribute_key="a", value=AttributeValue(bool_value=True)) for n in range(rows)
    ]
    for item in writes:
        item.event_time.FromDatetime(NOW)
    said = validation.Request(TENANT, uuid.uuid4(), b"d" * 32, 1, "")
    return validation.checked(draft_of_rows(pb2.RowBatch(writes=writes), TENANT.identity), said, NOW)


class MemoryStore:
    """Commits into a list, when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = asyncio.Event()
        self.groups: list[tuple[int, list[WriteBatch]]] = []
        self.failures: list[AtlasError] = []
        self.refused_openings = 0
        self.limits: list[timedelta] = []
        self.opened = 0
        self.swift = False
        self.declines = 0
        self.swift_limits: list[timedelta] = []
        self._number = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MemoryWriter]:
        if self.refused_openings:
            self.refused_openings -= 1
            raise Unavailable("no store")
        self.opened += 1
        yield MemoryWriter(self)

    def number(self) -> int:
        self._number += 1
        return self._number


class MemoryWriter:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.usable = True

    def at_once(self, batches: Sequence[WriteBatch]) -> AtOnce | None:
        if not self._store.swift:
            return None

        async def commit(limit: timedelta) -> Sequence[Outcome] | None:
            if self._store.declines:
                self._store.declines -= 1
                self._store.busy.set()
                await self._store.gate.wait()
                return None
            self._store.swift_limits.append(limit)
            self._store.busy.set()
            await self._store.gate.wait()
            # As the store does: the number is taken while it is committed, not before.
            return await self.commit(await self.reserve(), batches, limit)

        return commit

    async def reserve(self) -> int:
        return self._store.number()

    async def commit(
        self, number: int, batches: Sequence[WriteBatch], limit: timedelta
    ) -> Sequence[Written | AtlasError]:
        self._store.busy.set()
        self._store.limits.append(limit)
        await self._store.gate.wait()
        if self._store.failures:
            self.usable = False
            raise self._store.failures.pop()
        self._store.groups.append((number, list(batches)))
        return [
            RequestIdReused("reused")
            if item.digest == b"r" * 32
            else Written(Answer.of(item, NOW), Token(1, Lsn(number)), False)
            for item in batches
        ]


@asynccontextmanager
async def committing(store: MemoryStore, writers: int = 1, limits: Limits = LIMITS) -> AsyncIterator[GroupCommit]:
    async with group_commit(store.open, writers, limits, NoOpTracer()) as commit:
        yield commit


async def held(store: MemoryStore, commit: GroupCommit, group: asyncio.TaskGroup) -> asyncio.Task[Written]:
    """Keep the only writer busy with one batch."""
    store.gate.clear()
    first = group.create_task(commit.write(batch(), PATIENT))
    await store.busy.wait()
    return first


async def test_an_idle_writer_takes_a_batch_at_once() -> None:
    store = MemoryStore()
    async with committing(store) as commit:
        written = await commit.write(batch(), PATIENT)
    assert written.token == Token(1, Lsn(1))
    assert [len(group) for _, group in store.groups] == [1]


async def test_what_arrives_while_all_are_busy_shares_the_next_transaction() -> None:
    store = MemoryStore()
    async with committing(store) as commit, asyncio.TaskGroup() as group:
        await held(store, commit, group)
        waiting = [group.create_task(commit.write(batch(), PATIENT)) for _ in range(3)]
        await asyncio.sleep(0)
        store.gate.set()
        tokens = {(await task).token for task in waiting}
    assert len(tokens) == 1
    assert [len(items) for _, items in store.groups] == [1, 3]


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    store = MemoryStore()
    async with committing(store) as commit, asyncio.TaskGroup() as group:
        await held(store, commit, group)
        group.create_task(commit.write(batch(4), PATIENT))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await commit.write(batch(), PATIENT)
        assert refused.value.retry_after > timedelta(0)
        store.gate.set()


async def test_a_batch_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    store = MemoryStore()
    async with committing(store) as commit:
        assert (await commit.write(batch(9), PATIENT)).answer.item_count == 9


async def test_a_batch_that_is_cancelled_while_it_waits_is_not_written() -> None:
    store = MemoryStore()
    async with committing(store) as commit, asyncio.TaskGroup() as group:
        await held(store, commit, group)
        gone = group.create_task(commit.write(batch(), PATIENT))
        stays = group.create_task(commit.write(batch(), PATIENT))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        store.gate.set()
        await stays
    assert [len(items) for _, items in store.groups] == [1, 1]


async def test_a_batch_that_is_cancelled_in_its_transaction_does_not_take_the_others_with_it() -> None:
    store = MemoryStore()
    async with committing(store) as commit, asyncio.TaskGroup() as group:
        first = await held(store, commit, group)
        first.cancel()
        await asyncio.sleep(0)
        store.gate.set()
        await commit.write(batch(), PATIENT)
    assert len(store.groups) == 2


async def test_closing_commits_all_that_waits_and_takes_nothing_new() -> None:
    store = MemoryStore()
    async with asyncio.TaskGroup() as group:
        async with committing(store, limits=ROOMY) as commit:
            await held(store, commit, group)
            waiting = [group.create_task(commit.write(batch(), PATIENT)) for _ in range(7)]
            await asyncio.sleep(0)
            store.gate.set()
        assert all(task.done() and task.result().token for task in waiting)
        with pytest.raises(Unavailable):
            await commit.write(batch(), PATIENT)


async def test_one_request_refused_by_the_store_does_not_refuse_its_neighbours() -> None:
    store = MemoryStore()
    async with committing(store) as commit, asyncio.TaskGroup() as group:
        await held(store, commit, group)
        reused = asyncio.ensure_future(commit.write(replace(batch(), digest=b"r" * 32), PATIENT))
        good = group.create_task(commit.write(batch(), PATIENT))
        await asyncio.sleep(0)
        store.gate.set()
        with pytest.raises(RequestIdReused):
            await reused
        assert (await good).token


async def test_a_lost_writer_fails_its_group_and_is_replaced() -> None:
    store = MemoryStore()
    store.failures.append(Unavailable("broken"))
    async with committing(store) as commit:
        with pytest.raises(Unavailable, match="broken"):
            await commit.write(batch(), PATIENT)
        assert (await commit.write(batch(), PATIENT)).token
    assert store.opened == 2


async def test_without_a_store_a_write_waits_for_it() -> None:
    store = MemoryStore()
    store.refused_openings = 3
    async with committing(store) as commit, asyncio.timeout(10):
        written = await asyncio.gather(*(commit.write(batch(), PATIENT) for _ in range(2)))
    assert all(one.token for one in written)


async def test_without_a_store_the_wait_has_an_end_that_names_the_cause() -> None:
    store = MemoryStore()
    store.refused_openings = 10**6
    async with committing(store, limits=LIMITS._replace(queue_age=timedelta(milliseconds=200))) as commit:
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="no store"):
                await commit.write(batch(), PATIENT)
        assert commit.queue.calls == commit.queue.rows == commit.queue.size_bytes == 0


async def test_without_a_store_closing_fails_what_waits(eventually: Eventually) -> None:
    store = MemoryStore()
    store.refused_openings = 10**6
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        async with committing(store) as commit:
            waiting = group.create_task(refused(commit))

            async def queued() -> None:
                assert commit.queue.calls == 1

            await eventually(queued)
        assert isinstance(await waiting, Unavailable)


async def refused(commit: GroupCommit) -> AtlasError:
    with pytest.raises(AtlasError) as caught:
        await commit.write(batch(), PATIENT)
    return caught.value


async def test_a_batch_that_grew_too_old_behind_others_is_refused_before_it_costs_a_transaction() -> None:
    store = MemoryStore()
    limits = LIMITS._replace(queue_age=timedelta(milliseconds=50))
    async with committing(store, limits=limits) as commit, asyncio.TaskGroup() as group:
        first = await held(store, commit, group)
        late = await refused(commit)
        assert isinstance(late, Overloaded)
        assert late.reason == "QUEUE_AGE"
        store.gate.set()
        # What is in a transaction has no age: it is answered by it.
        assert (await first).token
    assert len(store.groups) == 1


async def test_a_small_batch_does_not_wait_behind_the_large_ones_of_another_tenant(eventually: Eventually) -> None:
    store = MemoryStore()
    limits = ROOMY._replace(express_rows=5, second_rows=0)
    async with committing(store, writers=3, limits=limits) as commit, asyncio.TaskGroup() as group:
        store.gate.clear()

        async def begun(count: int) -> None:
            assert len(store.limits) == count

        large = [group.create_task(commit.write(batch(6), PATIENT)) for _ in range(5)]
        await eventually(partial(begun, 2))
        small = group.create_task(commit.write(replace(batch(1), tenant=replace(TENANT, tenant_id=2)), PATIENT))
        # Nothing commits as long as the gate is closed: the third transaction is not one of the large batches'.
        await eventually(partial(begun, 3))
        assert len(commit.queue.take(100)) == len(large) - 2
        store.gate.set()
        assert (await small).token
        for task in large[2:]:
            task.cancel()


HOLDING = ROOMY._replace(express_rows=2, second_rows=6, group_rows=100, hold=timedelta(seconds=30))


@asynccontextmanager
async def a_large_group_in_commit(
    limits: Limits, eventually: Eventually
) -> AsyncIterator[tuple[MemoryStore, GroupCommit, asyncio.TaskGroup, Callable[[int], Awaitable[None]]]]:
    """Three writers, one of which commits three rows as long as the gate is closed; and what awaits so many commits."""
    store = MemoryStore()

    async def begun(count: int) -> None:
        assert len(store.limits) == count

    async with committing(store, writers=3, limits=limits) as commit, asyncio.TaskGroup() as group:
        store.gate.clear()
        group.create_task(commit.write(batch(3), PATIENT))
        await eventually(partial(begun, 1))
        yield store, commit, group, lambda count: eventually(partial(begun, count))
        store.gate.set()


async def test_large_batches_share_the_next_transaction_while_one_is_committed(eventually: Eventually) -> None:
    async with a_large_group_in_commit(HOLDING, eventually) as (store, commit, group, begun):
        group.create_task(commit.write(batch(3), PATIENT))
        small = group.create_task(commit.write(replace(batch(1), tenant=replace(TENANT, tenant_id=2)), PATIENT))
        await begun(2)  # the small one; the large one stays behind
        assert commit.queue.rows == 3
        group.create_task(commit.write(batch(2), PATIENT))
        await asyncio.sleep(0)
        store.gate.set()
        await small
    assert sorted(sum(len(item.states) for item in items) for _, items in store.groups) == [1, 3, 5]


async def test_a_second_large_group_begins_when_enough_rows_wait(eventually: Eventually) -> None:
    async with a_large_group_in_commit(HOLDING, eventually) as (_, commit, group, begun):
        for _ in range(2):
            group.create_task(commit.write(batch(3), PATIENT))
        await begun(2)


async def test_a_second_large_group_waits_no_longer_than_the_limit_for_one_that_hangs(eventually: Eventually) -> None:
    limits = HOLDING._replace(hold=timedelta(milliseconds=50))
    async with a_large_group_in_commit(limits, eventually) as (_, commit, group, begun):
        group.create_task(commit.write(batch(3), PATIENT))
        await begun(2)


async def test_closing_waits_for_no_large_group(eventually: Eventually) -> None:
    async with a_large_group_in_commit(HOLDING, eventually) as (_, commit, group, begun):
        group.create_task(commit.write(batch(3), PATIENT))
        await asyncio.sleep(0)
        commit.close()
        await begun(2)


@pytest.mark.parametrize(
    ("rows", "waited", "pause"), [(2_999, 0.0, 0.05), (2_999, 0.03, 0.02), (2_999, 0.06, 0.0), (3_000, 0.0, 0.0)]
)
def test_a_large_group_is_held_for_a_while_unless_many_rows_wait(rows: int, waited: float, pause: float) -> None:
    assert holding(Limits(), rows, waited) == pytest.approx(pause)


IDLE = Crowd(rows=1, calls=1, committing=0, small=0, busy=False)


@pytest.mark.parametrize(
    ("crowd", "waited", "pause"),
    [
        (IDLE, 0.0, 0.0),
        (IDLE._replace(committing=1, small=1), 0.0, 0.0),  # hardly busy
        (IDLE._replace(rows=9, calls=9, committing=9), 0.0, 0.0),  # a large group is not waited for
        (IDLE._replace(rows=9, calls=9, committing=9, small=1), 0.0, 0.020),  # under load
        (IDLE._replace(rows=9, calls=9, committing=9, small=1), 0.015, 0.005),
        (IDLE._replace(rows=9, calls=9, committing=9, small=1), 0.1, 0.0),
        (IDLE._replace(rows=1000, calls=9, committing=9, small=1), 0.0, 0.0),  # large already
        (IDLE._replace(busy=True), 0.0, 0.005),  # more are about to come
        (IDLE._replace(busy=True), 0.004, 0.001),
        (IDLE._replace(busy=True), 0.006, 0.0),
        (IDLE._replace(rows=8, calls=8, busy=True), 0.0, 0.0),  # enough are there
        (IDLE._replace(rows=1000, busy=True), 0.0, 0.0),
    ],
)
def test_only_small_groups_under_load_wait_for_more(crowd: Crowd, waited: float, pause: float) -> None:
    assert gathering(Limits(), crowd, waited) == pytest.approx(pause)


async def test_a_group_that_takes_its_number_itself_holds_up_its_tenants_and_no_other() -> None:
    store = MemoryStore()
    store.swift = True
    async with committing(store, writers=2, limits=ROOMY) as commit, asyncio.TaskGroup() as group:
        first = await held(store, commit, group)
        later = group.create_task(commit.write(batch(), PATIENT))
        other = group.create_task(commit.write(replace(batch(), tenant=replace(TENANT, tenant_id=2)), PATIENT))
        await asyncio.sleep(0.05)
        assert [entry.tenant for entry in commit.queue.take(100)] == [1]  # the other tenant's is on its way
        later.cancel()
        store.gate.set()
        assert {(await task).token for task in (first, other)} == {Token(1, Lsn(1)), Token(1, Lsn(2))}


async def test_batches_of_a_tenant_are_numbered_as_they_arrived_whoever_commits_them() -> None:
    store = MemoryStore()
    store.swift = True
    limits = ROOMY._replace(express_rows=1)
    async with committing(store, writers=3, limits=limits) as commit, asyncio.TaskGroup() as group:
        await held(store, commit, group)
        sent = [batch(1 + n % 2) for n in range(20)]
        for one in sent:
            group.create_task(commit.write(one, PATIENT))
            await asyncio.sleep(0)
        store.gate.set()
    committed = [one for _, items in sorted(store.groups, key=lambda each: each[0]) for one in items]
    assert [one.request_id for one in committed[1:]] == [one.request_id for one in sent]


async def test_what_cannot_be_committed_at_once_is_committed_the_other_way() -> None:
    store = MemoryStore()
    store.swift, store.declines = True, 1
    async with committing(store) as commit:
        assert (await commit.write(batch(), PATIENT)).token == Token(1, Lsn(1))
    assert (store.swift_limits, len(store.limits)) == ([], 1)


async def test_a_caller_with_little_time_is_not_committed_at_once() -> None:
    store = MemoryStore()
    store.swift = True
    async with committing(store) as commit:
        await commit.write(batch(), LIMITS.at_once * 0.9)
        await commit.write(batch(), PATIENT)
    assert len(store.swift_limits) == 1


async def test_what_arrives_during_a_small_commit_shares_the_next_one_whatever_writers_are_free(
    eventually: Eventually,
) -> None:
    store = MemoryStore()
    limits = ROOMY._replace(gather=timedelta(seconds=30), group_rows=100)
    async with committing(store, writers=2, limits=limits) as commit, asyncio.TaskGroup() as group:
        store.gate.clear()

        async def begun() -> None:
            assert len(store.limits) == 1

        first = group.create_task(commit.write(batch(1), PATIENT))
        await eventually(begun)
        rest = [group.create_task(commit.write(batch(1), PATIENT)) for _ in range(20)]
        await asyncio.sleep(0)
        store.gate.set()
        for task in (first, *rest):
            assert (await task).token
    # Those that came before eight calls were on their way did not wait.
    assert max(len(items) for _, items in store.groups) >= 20 - limits.gather_calls


async def test_numbers_follow_the_order_of_arrival_across_writers() -> None:
    store = MemoryStore()
    sent = [batch() for _ in range(50)]
    async with (
        committing(store, writers=3, limits=ROOMY) as commit,
        asyncio.TaskGroup() as group,
    ):
        for item in sent:
            group.create_task(commit.write(item, PATIENT))
    place = {item.request_id: index for index, item in enumerate(sent)}
    order = [place[item.request_id] for _, items in sorted(store.groups, key=lambda g: g[0]) for item in items]
    assert order == sorted(order)


async def test_a_transaction_runs_no_longer_than_its_most_patient_caller_waits() -> None:
    store = MemoryStore()
    async with committing(store) as commit, asyncio.TaskGroup() as group:
        await held(store, commit, group)
        for limit in (timedelta(seconds=1), timedelta(seconds=2)):
            group.create_task(commit.write(batch(), limit))
        await asyncio.sleep(0)
        store.gate.set()
    assert store.limits[0] == LIMITS.transaction
    assert timedelta(seconds=1) < store.limits[1] <= timedelta(seconds=2)


def test_no_setting_lets_a_transaction_have_more_rows_than_a_row_version_counts() -> None:
    environ = {"ATLAS_POSTGRES_DSN": "postgres://nowhere", "ATLAS_GROUP_ROWS": "{}"}
    with pytest.raises(ConfigurationWrong, match="ATLAS_GROUP_ROWS"):
        load(Settings, {**environ, "ATLAS_GROUP_ROWS": str(MAX_ROWS_PER_TRANSACTION)})
    largest = MAX_ROWS_PER_TRANSACTION - MAX_ITEMS
    assert load(Settings, {**environ, "ATLAS_GROUP_ROWS": str(largest)}).group_rows == largest
    queue: FairQueue[None] = FairQueue(QueueLimits(rows=10**6, size_bytes=10**9, tenant_share=1))
    for tenant in range(10):  # most are as large as one request may be; the first two leave a row of the group
        queue.push(Entry(tenant, MAX_ITEMS if tenant else largest - MAX_ITEMS - 1, 1, 0.0, None))
    assert MAX_ITEMS < sum(entry.rows for entry in queue.take(largest)) <= MAX_ROWS_PER_TRANSACTION
    assert sum(entry.rows for entry in queue.take(1)) == MAX_ITEMS
