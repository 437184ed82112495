"""Waiting for a position: woken by the look that reaches it, bounded, and gone without a trace."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from atlas_query_router.position_watch import PositionWatch, Reached, Waiters
from atlaskit.clock import BootInstant
from atlaskit.errors import Overloaded, Unavailable
from atlaskit.freshness.proofs import Proof
from atlaskit.position import Lsn, Token
from atlaskit.rpc.deadline import Deadline

MS = timedelta(milliseconds=1)
LATER = timedelta(seconds=10)


def proof(lsn: int, epoch: int = 2, **forks: int) -> Proof:
    ancestors = {int(name[1:]): Lsn(fork) for name, fork in forks.items()}
    return Proof(BootInstant(0), epoch, Lsn(lsn), ancestors=ancestors)


class Copy:
    """A copy whose position the test sets; None of it can be known, and it may be away."""

    def __init__(self) -> None:
        self.at: int | None = 0
        self.away = False
        self.looks = 0

    async def look(self, limit: timedelta) -> Reached:
        self.looks += 1
        if self.away:
            raise Unavailable("away")
        return lambda _: None if self.at is None else proof(self.at)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_whose_position_is_reached_are_woken_and_no_others() -> None:
    copy = Copy()
    watch = PositionWatch(copy.look, interval=MS, limit=LATER, most=1000)
    order = list(range(1, 501))
    random.Random(7).shuffle(order)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        run = group.create_task(watch.run())
        waits = {
            lsn: group.create_task(watch.reached((0,), Token(2, Lsn(lsn)), Deadline.after(LATER))) for lsn in order
        }
        await settled()
        copy.at = 250
        while len(watch) > 250:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await settled()
        assert {lsn for lsn, wait in waits.items() if wait.done()} == set(range(1, 251))
        copy.at = 500
        assert all(await asyncio.gather(*waits.values()))
        run.cancel()
    assert len(watch) == 0
    assert copy.looks < 100  # looks go with the time that passed, not with the number of those who wait


async def test_nobody_waits_so_nobody_looks() -> None:
    copy = Copy()
    watch = PositionWatch(copy.look, interval=timedelta(0), limit=LATER, most=10)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        run = group.create_task(watch.run())
        await settled()
        assert copy.looks == 0
        copy.at = 9
        assert await watch.reached((0,), Token(2, Lsn(9)), Deadline.after(LATER))
        await settled()
        looks = copy.looks
        await settled()
        assert copy.looks == looks
        run.cancel()


async def test_one_more_than_may_wait_is_refused() -> None:
    waiters = Waiters(2)
    for _ in range(2):
        waiters.add((0,), Token(2, Lsn(5)))
    with pytest.raises(Overloaded) as refused:
        waiters.add((1,), Token(2, Lsn(5)))
    assert refused.value.reason == "POSITION_WAITERS_FULL"
    waiters.wake(lambda shards: proof(5) if shards == (0,) else None)
    assert len(waiters) == 0
    waiters.add((1,), Token(2, Lsn(5)))


async def test_thousands_that_are_cancelled_leave_nothing_behind() -> None:
    copy = Copy()
    watch = PositionWatch(copy.look, interval=MS, limit=LATER, most=5000)
    chance = random.Random(11)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        run = group.create_task(watch.run())
        waits = [
            group.create_task(watch.reached((n % 10,), Token(2, Lsn(chance.randrange(1, 99))), Deadline.after(LATER)))
            for n in range(5000)
        ]
        await settled()
        assert len(watch) == 5000
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        run.cancel()
    assert len(watch) == 0
    assert watch._waiters._queues == {}


async def test_a_wait_ends_with_its_time_and_leaves_nothing_behind() -> None:
    watch = PositionWatch(Copy().look, interval=MS, limit=LATER, most=10)
    assert not await watch.reached((0,), Token(2, Lsn(5)), Deadline.after(20 * MS))
    assert len(watch) == 0


async def test_a_copy_that_is_away_for_a_while_is_waited_for() -> None:
    copy = Copy()
    copy.away = True
    watch = PositionWatch(copy.look, interval=MS, limit=LATER, most=10)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        run = group.create_task(watch.run())
        wait = group.create_task(watch.reached((0,), Token(2, Lsn(5)), Deadline.after(LATER)))
        while copy.looks < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not wait.done()
        copy.away, copy.at = False, 5
        assert await wait
        run.cancel()


@pytest.mark.parametrize(
    ("token", "reached", "woken"),
    [
        (Token(2, Lsn(5)), proof(5), True),
        (Token(2, Lsn(6)), proof(5), False),
        (Token(1, Lsn(5)), proof(6, e1=5), True),
        (Token(1, Lsn(5)), proof(4, e1=5), False),
        (Token(1, Lsn(6)), proof(4, e1=5), True),  # lost: its read will say so
        (Token(1, Lsn(1)), proof(4), True),  # likewise
    ],
)
def test_who_waits_is_woken_for_what_is_covered_and_for_what_is_lost(token: Token, reached: Proof, woken: bool) -> None:
    waiters = Waiters(1)
    waiter = waiters.add((0,), token)
    waiters.wake(lambda _: reached)
    assert waiter.woken.is_set() is woken
    assert len(waiters) == (0 if woken else 1)


def test_a_position_of_one_tenants_shards_wakes_nobody_of_others() -> None:
    waiters = Waiters(2)
    first, second = waiters.add((0,), Token(2, Lsn(5))), waiters.add((0, 1), Token(2, Lsn(5)))
    waiters.wake(lambda shards: proof(9) if shards == (0,) else proof(4))
    assert (first.woken.is_set(), second.woken.is_set()) == (True, False)
