"""Who may come in: decided from the size of a request alone, before anything is done for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from atlaskit.errors import Overloaded

from atlas_ingest.drain_rate import DrainRate
from atlas_ingest.fair_queue import FairQueue
from atlas_ingest.token_bucket import Allowance, TokenBuckets


class AdmissionLimits(NamedTuple):
    """Encoded bytes of the requests that are being worked on in this process, and what each tenant may send."""

    in_flight_bytes: int
    allowance: Allowance


class Admission:
    """Admits requests. A refusal costs next to nothing, so that too much load does not slow down what is admitted."""

    def __init__(
        self, limits: AdmissionLimits, queue: FairQueue[Any], rate: DrainRate, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._rate = rate
        self._now = now
        self._buckets = TokenBuckets(limits.allowance)
        self._in_flight = 0

    @contextmanager
    def admitted(self, tenant: int, rows: int, encoded_bytes: int) -> Iterator[None]:
        """Hold the request's bytes for the block. Raises Overloaded, with the time after which to come again."""
        self._check(tenant, rows, encoded_bytes)
        self._in_flight += encoded_bytes
        try:
            yield
        finally:
            self._in_flight -= encoded_bytes

    def _check(self, tenant: int, rows: int, encoded_bytes: int) -> None:
        # A request that alone exceeds the bound is taken when nothing else is there.
        if self._in_flight and self._in_flight + encoded_bytes > self._limits.in_flight_bytes:
            raise Overloaded("the memory for requests", self._rate.time_for(self._queue.rows + rows), "IN_FLIGHT_FULL")
        check_queue(self._queue, self._rate, tenant, rows, encoded_bytes)
        wait = self._buckets.take(tenant, rows, self._now())
        if wait is not None:
            raise Overloaded("what this tenant may send in this second", wait, "TENANT_RATE_EXCEEDED")


def check_queue(queue: FairQueue[Any], rate: DrainRate, tenant: int, rows: int, size_bytes: int) -> None:
    """Raise Overloaded if the queue does not take so much more; what waits and what was asked must drain first."""
    reason = queue.refusal(tenant, rows, size_bytes)
    if reason is not None:
        of_tenant = "this tenant's part of " if reason == "TENANT_QUEUE_FULL" else ""
        raise Overloaded(f"{of_tenant}the queue of rows waiting for a commit", rate.time_for(queue.rows + rows), reason)
