"""Ack levels: what is claimed is proven, what is not proven in time is said so, and waits are bounded."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from atlas_ingest.acks import AckLevel, Acknowledgements, level_of, time_to_wait
from atlaskit.errors import NotBuilt, Overloaded, Unavailable
from atlaskit.model import Source
from atlaskit.position import Lsn, Token
from atlaskit.rpc.deadline import Deadline

TOKEN = Token(1, Lsn(100))


class Copies:
    """Copies that cover a position, or never do."""

    def __init__(self, *covering: Source) -> None:
        self.covering = covering
        self.asked: list[tuple[int, Token, Source]] = []

    async def wait(self, tenant_id: int, token: Token, source: Source, limit: timedelta) -> None:
        self.asked.append((tenant_id, token, source))
        if source not in self.covering:
            await asyncio.sleep(limit.total_seconds())
            raise Unavailable("the copy does not cover the position in time")


@pytest.mark.parametrize(
    ("asked", "covering", "reached"),
    [
        (AckLevel.COMMITTED, (), AckLevel.COMMITTED),
        (AckLevel.REPLICATED, (Source.REPLICA,), AckLevel.REPLICATED),
        (AckLevel.REPLICATED, (Source.OLAP,), AckLevel.COMMITTED),
        (AckLevel.OLAP_VISIBLE, (Source.REPLICA, Source.OLAP), AckLevel.OLAP_VISIBLE),
        (AckLevel.OLAP_VISIBLE, (Source.REPLICA,), AckLevel.REPLICATED),
        (AckLevel.OLAP_VISIBLE, (Source.OLAP,), AckLevel.COMMITTED),
        (AckLevel.OLAP_VISIBLE, (), AckLevel.COMMITTED),
    ],
)
async def test_a_level_is_reached_with_every_copy_before_it(
    asked: AckLevel, covering: tuple[Source, ...], reached: AckLevel
) -> None:
    copies = Copies(*covering)
    acks = Acknowledgements(copies, 10)
    assert await acks.reached(7, TOKEN, asked, Deadline.after(timedelta(milliseconds=50))) is reached
    assert len(copies.asked) == asked - AckLevel.COMMITTED
    assert all(one[:2] == (7, TOKEN) for one in copies.asked)


async def test_nothing_stored_has_reached_nothing_and_asks_nobody() -> None:
    copies = Copies(Source.REPLICA)
    acks = Acknowledgements(copies, 10)
    deadline = Deadline.after(timedelta(seconds=1))
    assert await acks.reached(7, None, AckLevel.REPLICATED, deadline) is AckLevel.NOTHING
    assert copies.asked == []


async def test_a_passed_deadline_asks_nobody_and_claims_the_commit() -> None:
    copies = Copies(Source.REPLICA)
    acks = Acknowledgements(copies, 10)
    passed = Deadline.after(timedelta(0))
    assert await acks.reached(7, TOKEN, AckLevel.REPLICATED, passed) is AckLevel.COMMITTED
    assert copies.asked == []


def test_who_cannot_prove_a_level_refuses_it_before_the_write() -> None:
    acks = Acknowledgements(None, 10)
    with acks.place(AckLevel.COMMITTED):
        pass
    with pytest.raises(NotBuilt, match="REPLICATED"), acks.place(AckLevel.REPLICATED):
        pass


def test_places_are_bounded_and_given_back() -> None:
    acks = Acknowledgements(Copies(), 1)
    with acks.place(AckLevel.REPLICATED):
        with acks.place(AckLevel.COMMITTED):
            pass
        with pytest.raises(Overloaded) as full, acks.place(AckLevel.OLAP_VISIBLE):
            pass
        assert full.value.reason == "ACK_WAITERS_FULL"
    with acks.place(AckLevel.OLAP_VISIBLE):
        pass


def test_the_way_back_takes_a_tenth_of_the_time_and_at_most_100_ms() -> None:
    assert time_to_wait(timedelta(seconds=10)) == timedelta(seconds=9.9)
    assert time_to_wait(timedelta(milliseconds=100)) == timedelta(milliseconds=90)
    assert time_to_wait(timedelta(0)) == timedelta(0)


def test_a_copy_after_a_gap_counts_for_nothing() -> None:
    assert level_of([]) is AckLevel.COMMITTED
    assert level_of([False, True]) is AckLevel.COMMITTED
    assert level_of([True, False]) is AckLevel.REPLICATED
    assert level_of([True, True]) is AckLevel.OLAP_VISIBLE
