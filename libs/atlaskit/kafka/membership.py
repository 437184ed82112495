"""How the processes of a group divide the partitions of a topic among themselves: told, not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from atlaskit.kafka.errors import close, translated

SESSION_MS: Final = 10_000  # a member that is silent for so long is taken for dead, and its part given to others
_HEARTBEAT_MS: Final = 2_000
_LEAVE: Final = timedelta(seconds=10)
_FOREVER_MS: Final = 2**31 - 1  # nothing is ever read here, so no pause between reads is too long


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # the driver is not typed
    """One member. `numbers` are the partitions that are its own now; None until the group has told."""

    def __init__(self) -> None:
        self.numbers: frozenset[int] | None = None
        self._told = asyncio.Condition()
        self.driver: AIOKafkaConsumer | None = None

    async def changed(self, known: Collection[int] | None) -> frozenset[int] | None:
        """Return the numbers once they differ from those known."""
        async with self._told:
            await self._told.wait_for(lambda: self.numbers != known)
            return self.numbers

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Nothing to do: whoever goes on with a partition for a while harms nobody."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Take what the group gave."""
        if assigned and self.driver is not None:
            self.driver.pause(*assigned)
        async with self._told:
            self.numbers = frozenset(at.partition for at in assigned)
            self._told.notify_all()


@asynccontextmanager
async def open_membership(bootstrap: str, topic: str, *, group: str, client_id: str) -> AsyncIterator[Membership]:
    """Yield a member of the group, which leaves it when the block ends. Raises Unavailable if Kafka does not answer.

    The group keeps no offsets; the place of each reader is kept elsewhere.
    """
    member = Membership()
    driver = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="latest",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=_HEARTBEAT_MS,
        rebalance_timeout_ms=SESSION_MS,
        max_poll_interval_ms=_FOREVER_MS,
    )
    member.driver = driver
    driver.subscribe([topic], listener=member)
    try:
        with translated("joining the group"):
            await driver.start()
        yield member
    finally:
        await close(driver, "leaving the group", _LEAVE)
