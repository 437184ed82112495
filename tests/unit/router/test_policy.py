from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from atlas_query_router.backends import Call, Reply
from atlas_query_router.fallback_gate import FallbackGate, Limits
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.page_token import after
from atlas_query_router.position_watch import PositionWatch, Reached
from atlas_query_router.questions import EntityQuestion, Question
from atlas_query_router.router import Answer, Refusal, Router
from atlaskit.clock import BootInstant
from atlaskit.errors import AtlasError, NotFreshEnough, Overloaded, TokenEpochUnknown, TokenLost, Unavailable
from atlaskit.freshness.certificate import PassedOver, PassedOverFor
from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.reading import CopyLag, PrimaryMode, Reading
from atlaskit.freshness.requirement import Policy, Requirement, UseCase, for_use_case
from atlaskit.model import EntityIdentity, EntityState, Source, Tenant
from atlaskit.position import Lsn, SourceIdentity, Token
from atlaskit.rpc.deadline import Deadline
from opentelemetry.trace import NoOpTracer

MS = timedelta(milliseconds=1)
STATE = EntityState(1, 1, "e", "", None, ())
TENANT = Tenant(1, "t", EntityIdentity.KEYED, 1, 10, b"0" * 16, datetime(2026, 1, 1, tzinfo=UTC))
QUESTION = EntityQuestion(1, "e")
EPOCH = 3


@dataclass
class HandClock:
    """Moved by the test alone."""

    now: int = 100_000_000_000

    def boot(self) -> BootInstant:
        return BootInstant(self.now)

    def monotonic(self) -> float:
        return self.now / 1e9

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def ago(self, span: timedelta) -> BootInstant:
        return self.boot().minus(span)


@dataclass
class Scripted:
    """A copy that gives what the test has laid out: proofs or errors in order, the last one for ever."""

    source: Source
    script: list[Proof | AtlasError | None]
    reads: int = 0
    answered: int = 0
    looks: int = 0
    reached: Proof | None = None
    hold: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        step = self.script[min(self.reads, len(self.script) - 1)]
        self.reads += 1
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if isinstance(step, AtlasError):
            raise step
        if not worth(step):
            return Reply(step, answered=False)
        self.answered += 1
        return Reply(step, True, STATE)

    async def look(self, limit: timedelta) -> Reached:
        self.looks += 1
        return lambda _: self.reached


class World:
    """A router over scripted copies, with a board that knows what the test says."""

    def __init__(self, *, fallback_cap: int = 8, waiters: int = 8, patience: timedelta = timedelta(0)) -> None:
        self.clock = HandClock()
        self.board = LagBoard(self.clock, timedelta(seconds=1))
        self.copies = {source: Scripted(source, [None]) for source in (Source.PRIMARY, Source.REPLICA, Source.OLAP)}
        self.watches = {
            source: PositionWatch(copy.look, interval=MS, limit=1000 * MS, most=waiters)
            for source, copy in self.copies.items()
        }
        self.router = Router(
            self.copies,
            self.board,
            self.clock,
            NoOpTracer(),
            gate=FallbackGate(Limits(fallback_cap, 1e9)),
            watches=self.watches,
            token_patience=patience,
        )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch.run()) for watch in self.watches.values()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def poll(
        self, *, epoch: int = EPOCH, ancestors: dict[int, Lsn] | None = None, **lags: timedelta | None
    ) -> None:
        copies = {
            Source(name): CopyLag(lag, reachable=lag is not None or name == "primary") for name, lag in lags.items()
        }
        identity = SourceIdentity(7, epoch)
        reading = Reading(identity, epoch, primary_mode=PrimaryMode.SINGLE, copies=copies, ancestors=ancestors or {})
        assert await self.board.answer(self.board.question(), reading)

    def proof(
        self, age: timedelta, lsn: int = 1000, *, beat: int | None = None, ancestors: dict[int, Lsn] | None = None
    ) -> Proof:
        return Proof(self.clock.ago(age), EPOCH, Lsn(lsn), beat, ancestors=ancestors or {})

    async def ask(self, requirement: Requirement, seconds: float = 5.0):  # type: ignore[no-untyped-def]
        call = Call(TENANT, self.clock.boot(), Deadline.after(timedelta(seconds=seconds)))
        return await self.router.answer(QUESTION, requirement, call)


DASHBOARD = for_use_case(UseCase.DASHBOARD)


async def test_the_first_source_that_is_proven_answers() -> None:
    world = World()
    await world.poll(replica=5 * MS, primary=MS)
    world.copies[Source.REPLICA].script = [world.proof(20 * MS)]
    answer = await world.ask(DASHBOARD)
    assert (answer.certificate.source, answer.certificate.staleness) == (Source.REPLICA, 20 * MS)
    assert (answer.certificate.fallbacks, answer.certificate.degraded) == ((), False)
    assert answer.certificate.replication_lag == 5 * MS
    assert world.copies[Source.PRIMARY].reads == 0


async def test_the_budget_is_checked_against_what_was_read_and_not_what_was_polled() -> None:
    world = World()
    await world.poll(replica=5 * MS, primary=MS)
    world.copies[Source.REPLICA].script = [world.proof(1001 * MS)]
    world.copies[Source.PRIMARY].script = [world.proof(MS)]
    answer = await world.ask(DASHBOARD)
    assert answer.certificate.source is Source.PRIMARY
    assert answer.certificate.fallbacks == (PassedOver(Source.REPLICA, PassedOverFor.TOO_STALE, 1001 * MS),)
    assert world.copies[Source.REPLICA].answered == 0


async def test_unknown_staleness_never_counts_as_fresh() -> None:
    world = World()
    await world.poll(replica=MS, primary=MS)
    with pytest.raises(Refusal) as refused:
        await world.ask(DASHBOARD)
    assert isinstance(refused.value.error, NotFreshEnough)
    assert [entry.reason for entry in refused.value.certificate.fallbacks] == [PassedOverFor.UNKNOWN] * 2
    assert refused.value.certificate.staleness is None


async def test_without_a_reading_nothing_is_read_and_nothing_claimed() -> None:
    world = World()
    with pytest.raises(Refusal):
        await world.ask(DASHBOARD)
    await world.poll(replica=MS, primary=MS)
    world.clock.now += 1_000_001_000  # the reading is older than its limit now
    with pytest.raises(Refusal):
        await world.ask(DASHBOARD)
    assert not any(copy.reads for copy in world.copies.values())


async def test_a_copy_that_was_polled_too_stale_is_not_read() -> None:
    world = World()
    await world.poll(replica=2000 * MS, primary=MS)
    world.copies[Source.PRIMARY].script = [world.proof(MS)]
    answer = await world.ask(DASHBOARD)
    assert answer.certificate.fallbacks == (PassedOver(Source.REPLICA, PassedOverFor.TOO_STALE, 2000 * MS),)
    assert world.copies[Source.REPLICA].reads == 0


async def test_a_copy_that_does_not_answer_is_passed_over() -> None:
    world = World()
    await world.poll(replica=MS, primary=MS)
    world.copies[Source.REPLICA].script = [Unavailable("away")]
    world.copies[Source.PRIMARY].script = [world.proof(MS)]
    answer = await world.ask(DASHBOARD)
    assert answer.certificate.fallbacks == (PassedOver(Source.REPLICA, PassedOverFor.UNAVAILABLE),)


async def test_a_copy_that_hangs_leaves_time_for_the_next() -> None:
    world = World()
    await world.poll(replica=MS, primary=MS)
    world.copies[Source.REPLICA].hold = asyncio.Event()
    world.copies[Source.PRIMARY].script = [world.proof(MS)]
    answer = await world.ask(DASHBOARD, seconds=0.6)
    assert answer.certificate.source is Source.PRIMARY


async def test_when_no_source_answers_the_error_says_unavailable() -> None:
    world = World()
    await world.poll(replica=MS, primary=MS)
    for copy in world.copies.values():
        copy.script = [Unavailable("away")]
    with pytest.raises(Refusal) as refused:
        await world.ask(DASHBOARD)
    assert isinstance(refused.value.error, Unavailable)


async def test_a_degraded_answer_is_flagged_with_its_true_staleness() -> None:
    world = World()
    await world.poll(replica=5 * MS, primary=MS)
    world.copies[Source.REPLICA].script = [world.proof(3000 * MS)]
    answer = await world.ask(replace(DASHBOARD, policy=Policy.DEGRADE))
    assert (answer.certificate.source, answer.certificate.staleness) == (Source.REPLICA, 3000 * MS)
    assert answer.certificate.degraded
    assert [entry.source for entry in answer.certificate.fallbacks] == [Source.PRIMARY]


async def test_a_degraded_answer_of_unknown_age_states_no_age() -> None:
    world = World()
    answer = await world.ask(replace(DASHBOARD, policy=Policy.DEGRADE))
    assert (answer.certificate.source, answer.certificate.staleness) == (Source.REPLICA, None)
    assert answer.certificate.degraded


@pytest.mark.parametrize("policy", list(Policy))
async def test_a_token_is_honoured_under_every_policy(policy: Policy) -> None:
    world = World()
    await world.poll(replica=MS, primary=MS, olap=MS)
    world.copies[Source.REPLICA].script = [world.proof(MS, lsn=999)]
    world.copies[Source.OLAP].script = [world.proof(MS, lsn=1000, beat=4)]
    for source in (Source.REPLICA, Source.OLAP):
        demand = replace(
            DASHBOARD, sources=(source,), policy=policy, at_least=Token(EPOCH, Lsn(1000)), max_wait=timedelta(0)
        )
        with pytest.raises(Refusal) as refused:
            await world.ask(demand)
        assert isinstance(refused.value.error, NotFreshEnough)
        assert refused.value.certificate.fallbacks[-1].reason is PassedOverFor.TOKEN_NOT_COVERED
    assert not any(copy.answered for copy in world.copies.values())


async def test_a_token_that_the_replica_lacks_is_answered_by_the_primary() -> None:
    world = World()
    await world.poll(replica=MS, primary=MS)
    world.copies[Source.REPLICA].script = [world.proof(MS, lsn=999)]
    world.copies[Source.PRIMARY].script = [world.proof(MS, lsn=2000)]
    answer = await world.ask(replace(DASHBOARD, at_least=Token(EPOCH, Lsn(1000))))
    assert answer.certificate.source is Source.PRIMARY
    assert [entry.reason for entry in answer.certificate.fallbacks] == [PassedOverFor.TOKEN_NOT_COVERED]


async def test_a_token_on_its_way_is_waited_for_without_reading_until_it_is_there() -> None:
    world = World(patience=20 * MS)
    await world.poll(replica=MS)
    replica = world.copies[Source.REPLICA]
    replica.script = [world.proof(MS, lsn=1000)]
    replica.reached = world.proof(MS, lsn=999)
    demand = replace(DASHBOARD, sources=(Source.REPLICA,), at_least=Token(EPOCH, Lsn(1000)))
    async with world.watched(), asyncio.TaskGroup() as group:
        waiting = group.create_task(world.ask(demand))
        while replica.looks < 5:
            await world.poll(replica=MS)  # readings come and go, and nobody reads for them
            await asyncio.sleep(0.001)
        assert replica.reads == 0
        replica.reached = world.proof(MS, lsn=1000)
        answer = await waiting
    assert (answer.certificate.source, replica.reads) == (Source.REPLICA, 1)


async def test_a_copy_that_was_not_seen_at_the_token_is_looked_at_before_it_is_read() -> None:
    world = World(patience=5000 * MS)
    await world.poll(replica=MS)
    replica = world.copies[Source.REPLICA]
    replica.script = [world.proof(MS, lsn=1000)]
    replica.reached = world.proof(MS, lsn=999)
    demand = replace(DASHBOARD, sources=(Source.REPLICA,), at_least=Token(EPOCH, Lsn(1000)))
    async with world.watched(), asyncio.TaskGroup() as group:
        asked = [group.create_task(world.ask(demand)) for _ in range(5)]
        while replica.looks < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert replica.reads == 0
        replica.reached = world.proof(MS, lsn=1000)
        for answer in await asyncio.gather(*asked):
            assert answer.certificate.source is Source.REPLICA
        looks = replica.looks
        await world.ask(demand)  # it was seen there: no look is needed any more
    assert (replica.reads, replica.looks) == (6, looks)


async def test_a_copy_that_is_looked_at_and_not_there_is_passed_over_unread() -> None:
    world = World(patience=50 * MS)
    await world.poll(replica=7 * MS, primary=MS)
    replica = world.copies[Source.REPLICA]
    replica.reached = world.proof(MS, lsn=999)
    world.copies[Source.PRIMARY].script = [world.proof(MS, lsn=1000)]
    async with world.watched():
        answer = await world.ask(replace(DASHBOARD, at_least=Token(EPOCH, Lsn(1000))))
    assert answer.certificate.source is Source.PRIMARY
    assert answer.certificate.fallbacks == (PassedOver(Source.REPLICA, PassedOverFor.TOKEN_NOT_COVERED, 7 * MS),)
    assert replica.reads == 0


async def test_a_copy_that_seemed_to_be_there_and_was_not_is_waited_for_again() -> None:
    world = World()
    await world.poll(replica=MS)
    replica = world.copies[Source.REPLICA]
    short = world.proof(MS, lsn=999)
    replica.script = [short, short, short, world.proof(MS, lsn=1000)]
    replica.reached = world.proof(MS, lsn=1000)
    demand = replace(DASHBOARD, sources=(Source.REPLICA,), at_least=Token(EPOCH, Lsn(1000)))
    async with world.watched():
        assert (await world.ask(demand)).certificate.source is Source.REPLICA
    assert replica.reads == 4


async def test_more_reads_than_may_wait_are_refused_at_once_and_told_when_to_come_again() -> None:
    world = World(waiters=1)
    await world.poll(replica=MS)
    replica = world.copies[Source.REPLICA]
    replica.script = [world.proof(MS, lsn=1)]
    demand = replace(DASHBOARD, sources=(Source.REPLICA,), at_least=Token(EPOCH, Lsn(1000)))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(world.ask(demand))
        while not len(world.watches[Source.REPLICA]):  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await world.ask(demand)
        assert isinstance(refused.value.error, Overloaded)
        assert refused.value.error.retry_after > timedelta(0)
        waiting.cancel()
    assert len(world.watches[Source.REPLICA]) == 0


async def test_under_wait_a_second_source_that_comes_within_the_limit_answers_before_the_first_has_the_token() -> None:
    world = World()
    await world.poll(olap=MS, replica=None)
    world.copies[Source.OLAP].script = [world.proof(MS, lsn=1, beat=1)]
    world.copies[Source.REPLICA].script = [world.proof(MS, lsn=1000)]
    demand = replace(for_use_case(UseCase.ANALYTICS), policy=Policy.WAIT, at_least=Token(EPOCH, Lsn(1000)))
    async with world.watched(), asyncio.TaskGroup() as group:
        waiting = group.create_task(world.ask(demand))
        while not waiting.done():
            await world.poll(olap=MS, replica=MS if world.copies[Source.OLAP].looks > 3 else None)
            await asyncio.sleep(0.001)
        assert (await waiting).certificate.source is Source.REPLICA
    assert not any(len(watch) for watch in world.watches.values())


async def test_a_token_of_an_earlier_epoch_is_covered_up_to_the_fork_and_lost_above_it() -> None:
    world = World()
    forks = {EPOCH - 1: Lsn(500)}
    await world.poll(replica=MS, primary=MS, ancestors=forks)
    world.copies[Source.REPLICA].script = [world.proof(MS, lsn=1000, ancestors=forks)]
    answer = await world.ask(replace(DASHBOARD, at_least=Token(EPOCH - 1, Lsn(500))))
    assert answer.certificate.source is Source.REPLICA
    with pytest.raises(Refusal, match="ended at 0/1F4") as refused:
        await world.ask(replace(DASHBOARD, at_least=Token(EPOCH - 1, Lsn(501))))
    assert isinstance(refused.value.error, TokenLost)


async def test_a_replica_that_has_not_reached_the_fork_yet_does_not_cover_what_survived() -> None:
    world = World()
    forks = {EPOCH - 1: Lsn(500)}
    await world.poll(replica=MS, ancestors=forks)
    world.copies[Source.REPLICA].script = [world.proof(MS, lsn=400, ancestors=forks)]
    demand = replace(DASHBOARD, at_least=Token(EPOCH - 1, Lsn(450)), sources=(Source.REPLICA,), max_wait=timedelta(0))
    with pytest.raises(Refusal) as refused:
        await world.ask(demand)
    assert refused.value.certificate.fallbacks[0].reason is PassedOverFor.TOKEN_NOT_COVERED


async def test_a_token_of_an_epoch_that_is_over_is_lost_unless_its_fork_is_known() -> None:
    world = World()
    await world.poll(replica=MS, primary=MS)
    with pytest.raises(Refusal) as refused:
        await world.ask(replace(DASHBOARD, at_least=Token(EPOCH - 1, Lsn(1))))
    assert isinstance(refused.value.error, TokenLost)


async def test_a_token_of_an_epoch_that_nobody_registered_is_refused_by_name() -> None:
    world = World()
    await world.poll(replica=MS, primary=MS)
    with pytest.raises(Refusal, match=f"epoch {EPOCH + 1}") as refused:
        await world.ask(replace(DASHBOARD, at_least=Token(EPOCH + 1, Lsn(1))))
    assert isinstance(refused.value.error, TokenEpochUnknown)


async def test_a_token_of_an_epoch_registered_just_now_is_given_the_time_of_a_reading() -> None:
    world = World(patience=1000 * MS)
    await world.poll(epoch=EPOCH - 1, replica=MS)
    world.copies[Source.REPLICA].script = [world.proof(MS, lsn=1000)]
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        asked = group.create_task(world.ask(replace(DASHBOARD, at_least=Token(EPOCH, Lsn(1)))))
        await asyncio.sleep(0)
        await world.poll(replica=MS)
        assert (await asked).certificate.source is Source.REPLICA


async def test_the_primary_does_not_cover_a_position_that_its_log_has_not_reached() -> None:
    world = World()
    await world.poll(primary=MS)
    world.copies[Source.PRIMARY].script = [world.proof(MS, lsn=999)]
    demand = replace(DASHBOARD, sources=(Source.PRIMARY,), at_least=Token(EPOCH, Lsn(1000)), max_wait=timedelta(0))
    with pytest.raises(Refusal) as refused:
        await world.ask(demand)
    assert refused.value.certificate.fallbacks[0].missing_bytes == 1


async def test_a_refusal_says_how_far_off_a_source_is_and_when_it_is_likely_to_do() -> None:
    world = World()
    for lag in (9000, 8000, 7000):  # it catches up by a second in each half second
        await world.poll(replica=lag * MS)
        world.clock.now += 500_000_000
    with pytest.raises(Refusal) as refused:
        await world.ask(replace(DASHBOARD, sources=(Source.REPLICA,)))
    [passed] = refused.value.certificate.fallbacks
    assert (passed.staleness, passed.likely_after) == (7000 * MS, 2500 * MS)
    error = refused.value.error
    assert isinstance(error, NotFreshEnough)
    assert error.retry_after == 2500 * MS
    assert "likely in 2500 ms" in str(error)


async def test_a_source_that_does_not_progress_gets_no_estimate() -> None:
    world = World()
    for lag in (7000, 7500):
        await world.poll(replica=lag * MS)
        world.clock.now += 500_000_000
    with pytest.raises(Refusal) as refused:
        await world.ask(replace(DASHBOARD, sources=(Source.REPLICA,)))
    assert refused.value.certificate.fallbacks[0].likely_after is None
    assert isinstance(refused.value.error, NotFreshEnough)
    assert refused.value.error.retry_after is None


async def test_wait_answers_once_a_source_is_fresh_enough() -> None:
    world = World()
    await world.poll(replica=MS)
    replica = world.copies[Source.REPLICA]
    replica.script = [None, world.proof(10 * MS)]
    demand = replace(DASHBOARD, sources=(Source.REPLICA,), policy=Policy.WAIT)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(world.ask(demand))
        await replica.entered.wait()
        await asyncio.sleep(0)
        await world.poll(replica=MS)
        answer = await waiting
    assert answer.certificate.staleness == 10 * MS


async def test_wait_ends_as_fail_fast_does_when_its_time_is_over() -> None:
    world = World()
    await world.poll(replica=MS)
    demand = replace(DASHBOARD, sources=(Source.REPLICA,), policy=Policy.WAIT, max_wait=50 * MS)
    with pytest.raises(Refusal) as refused:
        await world.ask(demand)
    assert isinstance(refused.value.error, NotFreshEnough)


async def test_fallbacks_onto_the_primary_are_capped() -> None:
    world = World(fallback_cap=1)
    await world.poll(replica=2000 * MS, primary=MS)
    primary = world.copies[Source.PRIMARY]
    primary.script = [world.proof(MS)]
    primary.hold = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        first = group.create_task(world.ask(DASHBOARD))
        await primary.entered.wait()
        with pytest.raises(Refusal) as refused:
            await world.ask(DASHBOARD)
        assert isinstance(refused.value.error, Overloaded)
        assert refused.value.error.retry_after >= timedelta(seconds=1)
        assert refused.value.certificate.fallbacks[-1].reason is PassedOverFor.BUDGET_EXHAUSTED
        primary.hold.set()
        assert (await first).certificate.source is Source.PRIMARY
    world.clock.now += 1_000_000
    assert (await world.ask(DASHBOARD)).certificate.source is Source.PRIMARY


async def test_a_stampede_of_thousands_onto_the_primary_stays_within_the_cap_under_every_policy() -> None:
    world = World(fallback_cap=3)
    await world.poll(replica=2000 * MS, primary=MS)
    primary = world.copies[Source.PRIMARY]
    primary.script = [world.proof(MS)]
    world.copies[Source.REPLICA].script = [world.proof(2000 * MS)]
    primary.hold = asyncio.Event()
    policies = itertools.cycle(Policy)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        asked = [
            group.create_task(outcome(world.ask(replace(DASHBOARD, policy=next(policies)), seconds=20)))
            for _ in range(3000)
        ]
        await primary.entered.wait()
        while sum(task.done() for task in asked) < 2997:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert primary.reads == 3
        primary.hold.set()
    ends = Counter(task.result() for task in asked)
    assert ends == {"primary": 3, "replica": 1000 - 1, "FALLBACK_BUDGET_EXHAUSTED": 2000 - 2}


async def test_the_pages_after_a_fallback_are_fallbacks_too() -> None:
    world = World(fallback_cap=0)
    await world.poll(replica=MS, primary=MS)
    world.copies[Source.PRIMARY].script = [world.proof(MS)]
    page = after(Source.PRIMARY, EPOCH, Lsn(1000), (1,))
    with pytest.raises(Refusal) as refused:
        await world.ask(page.pinned(DASHBOARD))
    assert isinstance(refused.value.error, Overloaded)
    for unfallen in (for_use_case(UseCase.REALTIME_ALERT), replace(DASHBOARD, sources=(Source.PRIMARY,))):
        assert (await world.ask(page.pinned(unfallen))).certificate.source is Source.PRIMARY


async def outcome(answer: Awaitable[Answer]) -> str:
    """Return which source answered, or the reason of the refusal."""
    try:
        return str((await answer).certificate.source)
    except Refusal as refused:
        return refused.error.reason


async def test_reads_that_want_the_primary_first_are_not_capped() -> None:
    world = World(fallback_cap=0)
    await world.poll(primary=MS)
    world.copies[Source.PRIMARY].script = [world.proof(MS)]
    assert (await world.ask(for_use_case(UseCase.REALTIME_ALERT))).certificate.source is Source.PRIMARY


async def test_a_source_that_is_not_built_is_named_and_passed_over() -> None:
    world = World()
    await world.poll(olap=MS)
    world.copies[Source.OLAP].script = [world.proof(MS, beat=1)]
    answer = await world.ask(for_use_case(UseCase.ML_TRAINING))
    assert answer.certificate.source is Source.OLAP
    assert answer.certificate.fallbacks == (PassedOver(Source.LAKE, PassedOverFor.NOT_SUPPORTED),)
