"""Whether a consumer still hears Kafka: one that does not is replaced, as a restart of the process would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from atlaskit.kafka.consumer import Extent, Partition


class Deaf(Exception):
    """The consumer fails at every read, or gives nothing while its partitions grow: it has to be opened again."""


class Hearing:
    """What came of the reads of one consumer. All times are monotonic seconds, `limit` a span of them."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._quiet_since = now
        self._failing_since: float | None = None
        self._held: Mapping[Partition, Extent] | None = None

    def heard(self, now: float) -> None:
        """Take that records came."""
        self._quiet_since, self._failing_since, self._held = now, None, None

    def nothing(self, now: float) -> bool:
        """Take that a read gave nothing; return whether it is time to `compare` what the partitions hold."""
        self._failing_since = None
        return now - self._quiet_since >= self._limit

    def compare(self, now: float, held: Mapping[Partition, Extent]) -> None:
        """Raise Deaf if partitions grew since they were compared last, and nothing came meanwhile."""
        before = self._held or {}
        if any(held[at].end > extent.end for at, extent in before.items() if at in held):
            raise Deaf(f"nothing came for {self._limit:g} s while the partitions grew")
        self._quiet_since, self._held = now, held

    def unanswered(self, why: Exception) -> NoReturn:
        """Take that it cannot even be compared. Raises Deaf: to Kafka, if it is there, this consumer is lost."""
        raise Deaf(f"nothing came for {self._limit:g} s, and what the partitions hold is not told: {why}") from why

    def failed(self, now: float, why: Exception) -> None:
        """Take that a read failed. Raises Deaf if none has succeeded for the limit."""
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= self._limit:
            raise Deaf(f"no read succeeded for {self._limit:g} s, the last because: {why}") from why
