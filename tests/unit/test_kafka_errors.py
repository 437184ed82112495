"""What the driver of Kafka may do wrong ends as an error of Atlas, and in time."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError
from atlaskit.errors import AtlasError, DeadlinePassed, Unavailable
from atlaskit.kafka.errors import OffsetLost, bounded, close, started

LIMIT = timedelta(milliseconds=20)


class Driver:
    """A client whose `stop` waits for ever, or ends like this."""

    def __init__(self, end: Exception | None) -> None:
        self.end = end

    async def stop(self) -> None:
        if self.end is None:
            await asyncio.Event().wait()
        else:
            raise self.end


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (KafkaConnectionError("gone"), Unavailable),
        (ConnectionResetError("gone"), Unavailable),
        (TimeoutError("of a request"), Unavailable),
        (OffsetOutOfRangeError("7"), OffsetLost),
    ],
)
async def test_what_the_driver_raises_is_told_in_words_of_atlas(raised: Exception, expected: type[AtlasError]) -> None:
    with pytest.raises(expected, match="reading a thing"):
        async with bounded("reading a thing", LIMIT):
            raise raised


async def test_a_wait_without_an_end_gets_one() -> None:
    with pytest.raises(DeadlinePassed, match=r"reading a thing: Kafka did not answer within 0\.02 s"):
        async with bounded("reading a thing", LIMIT):
            await asyncio.Event().wait()


async def test_a_fault_of_our_own_is_not_laid_to_kafka() -> None:
    with pytest.raises(ZeroDivisionError):
        async with bounded("reading a thing", LIMIT):
            _ = 1 // 0


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (None, DeadlinePassed),
        (KafkaConnectionError("gone"), Unavailable),
        (RuntimeError("the handler is closed"), Unavailable),  # a task of the driver had died of it
    ],
)
async def test_closing_a_broken_driver_fails_in_one_of_two_ways(
    end: Exception | None, expected: type[AtlasError]
) -> None:
    with pytest.raises(expected, match="closing it"):
        await close(Driver(end), "closing it", LIMIT)


class Deaf:
    """A client that, stopping, takes every cancellation for that of its own task."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.stopped = False

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        self.stopped = True


async def test_who_is_cancelled_while_a_driver_stops_is_cancelled() -> None:
    driver = Deaf()

    async def work() -> None:
        async with started(driver):
            pass

    task = asyncio.create_task(work())
    await driver.stopping.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert driver.stopped


async def test_a_limit_holds_while_a_driver_stops() -> None:
    with pytest.raises(DeadlinePassed, match="closing it"):
        await close(Deaf(), "closing it", LIMIT)
