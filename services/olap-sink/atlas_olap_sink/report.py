"""What the sink says about itself now and then."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from atlaskit.kafka.consumer import Partition

from atlas_olap_sink.advance import Progress

log = structlog.get_logger(__name__)

PERIOD = 10.0  # seconds between two lines


class Report:
    """Counts rows and times, and logs them every 10 s; partitions that are frozen are named every time."""

    def __init__(self) -> None:
        self._rows = self._batches = 0
        self._decode = self._insert = 0.0
        self._due: float | None = None

    def count(self, rows: int, decode_seconds: float, insert_seconds: float) -> None:
        """Add one batch."""
        self._rows, self._batches = self._rows + rows, self._batches + 1
        self._decode, self._insert = self._decode + decode_seconds, self._insert + insert_seconds

    def tell(self, now: float, progress: Mapping[Partition, Progress]) -> None:
        """Log what was counted, if the last line is old enough; `now` is monotonic seconds."""
        if self._due is None:
            self._due = now + PERIOD
        if now < self._due:
            return
        self._due = now + PERIOD
        if self._rows:
            log.info(
                "inserted",
                rows=self._rows,
                batches=self._batches,
                decode_seconds=round(self._decode, 3),
                insert_seconds=round(self._insert, 3),
            )
        self._rows = self._batches = 0
        self._decode = self._insert = 0.0
        for at, one in progress.items():
            if one.frozen is not None:
                log.error(
                    "partition is frozen: nothing new is claimed of it",
                    topic=at.topic,
                    partition=at.number,
                    why=one.frozen,
                )
        behind = sum(one.position < one.resume for one in progress.values())
        if behind:
            log.warning("inserting again what ClickHouse may have lost", partitions=behind)
