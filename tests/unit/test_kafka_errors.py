"""What the driver of Kafka may do wrong ends as an error of Atlas, and in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError
from atlaskit.errors import AtlasError, DeadlinePassed, Unavailable
from atlaskit.kafka.errors import OffsetLost, bounded, close

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
