"""What ingest counts: batches and their items by what became of them, groups by how long they took."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from atlas_ingest.fair_queue import Entry, FairQueue, QueueLimits
from atlas_ingest.metrics import IngestMetrics, queue_gauges
from atlaskit.batch import Answer, Refusal, Written
from atlaskit.config import ServiceSettings
from atlaskit.errors import InvalidRequest, Overloaded
from atlaskit.telemetry.metrics import open_metrics
from doubles.scrapes import Scrape, scrape
from opentelemetry.metrics import Meter

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def written(states: tuple[int, ...], count: int, *, repeated: bool = False) -> Written:
    refusals = tuple(Refusal(place, "WHY", "", "") for place, state in enumerate(states) if state == 3)
    return Written(Answer(count, states, refusals, NOW), None, repeated)


class Page:
    """A meter and what Prometheus reads of it."""

    def __init__(self, meter: Meter, url: str) -> None:
        self.meter = meter
        self._url = url

    async def read(self) -> Scrape:
        return await scrape(self._url)


@asynccontextmanager
async def page() -> AsyncIterator[Page]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    async with open_metrics("ingest", ServiceSettings(metrics_address=address)) as meter:
        yield Page(meter, f"http://{address}/metrics")


async def test_items_are_counted_once_by_what_became_of_them_and_batches_whole() -> None:
    async with page() as shown:
        counts = IngestMetrics(shown.meter)
        assert (await shown.read()).of("atlas_ingest_values_total") == [0, 0, 0]
        counts.answered(written((), 1000))
        counts.answered(written((1, 2, 3, 3), 4))
        counts.answered(written((), 1000, repeated=True))
        counts.refused(Overloaded("the queue", timedelta(seconds=1), "QUEUE_FULL"))
        counts.refused(InvalidRequest("rows", "is empty", "BATCH_EMPTY"))
        found = await shown.read()
    values = {has["outcome"]: figure for name, has, figure in found.samples if name == "atlas_ingest_values_total"}
    assert values == {"stored": 1001, "superseded": 1, "refused": 2}
    batches = {has["outcome"]: figure for name, has, figure in found.samples if name == "atlas_ingest_batches_total"}
    assert batches == {"committed": 2, "repeated": 1, "refused": 2}
    reasons = {has["reason"]: figure for name, has, figure in found.samples if name == "atlas_ingest_refusals_total"}
    assert reasons == {"QUEUE_FULL": 1, "BATCH_EMPTY": 1}


async def test_a_failed_group_is_timed_and_has_no_size() -> None:
    async with page() as shown:
        counts = IngestMetrics(shown.meter)
        counts.committed(0.004, 70)
        counts.committed(2.0, 0)
        found = await shown.read()
    assert found.of("atlas_ingest_commit_duration_seconds_count", outcome="committed") == [1]
    assert found.of("atlas_ingest_commit_duration_seconds_sum", outcome="failed") == [2]
    assert found.of("atlas_ingest_commit_duration_seconds_bucket", outcome="committed", le="0.005") == [1]
    assert found.of("atlas_ingest_group_rows_sum") == [70]


async def test_what_waits_is_told_in_rows_and_bytes_and_is_0_in_an_empty_queue() -> None:
    async with page() as shown:
        queue: FairQueue[None] = FairQueue(QueueLimits(10, 1000, 1.0))
        queue_gauges(shown.meter, queue)
        empty = await shown.read()
        queue.push(Entry(1, 3, 200, 0.0, None))
        found = await shown.read()
    assert (empty.of("atlas_ingest_queue_rows"), empty.of("atlas_ingest_queue_size_bytes")) == ([0], [0])
    assert (found.of("atlas_ingest_queue_rows"), found.of("atlas_ingest_queue_size_bytes")) == ([3], [200])
