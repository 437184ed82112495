"""Load that is offered to ingest, and what became of it.

Open loop: calls begin when the schedule says, whether or not the service keeps up, and their latency counts from then.
Closed loop: so many callers, each with one call at a time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from atlas_client import CallFailed
from atlas_client.identity import metadata_of
from grpc import aio

from atlas_cli.bench.batches import Repeated, Request
from atlas_cli.bench.latencies import Latencies

MAX_MESSAGE = 16 * 1024 * 1024
IN_FLIGHT_OF_STREAM = 8


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of load. `rate`: calls a second, offered whatever happens; 0: `callers` in a closed loop.

    With `stream` each caller has one stream, which carries one tenant: the callers are dealt out by weight. With a
    `caller` each call or stream says that it comes from there and acts for its tenant.

    At most `outstanding` calls wait for an answer; what is due then is not sent, and counted as NOT_SENT."""

    loads: Sequence[Repeated]
    weights: Sequence[float]
    duration: timedelta
    rate: float = 0.0
    callers: int = 8
    stream: bool = False
    timeout: timedelta = timedelta(seconds=10)
    outstanding: int = 5_000
    warm_up: timedelta = timedelta(0)
    seed: int = 1
    caller: str = ""

    def identity(self, tenant: int) -> tuple[tuple[str, str], ...]:
        """Return what a call says of itself as metadata: nothing without a caller."""
        return metadata_of(self.caller, tenant) if self.caller else ()

    def requests(self) -> Callable[[], Request]:
        """Return what gives the next request, of a tenant drawn by weight."""
        drawn = random.Random(self.seed)

        def next_request() -> Request:
            return drawn.choices(self.loads, self.weights)[0].next()

        return next_request


@dataclass(slots=True)
class Outcome:
    """What became of an offer: calls and items in its time without the warm-up, and the latencies of answered calls.

    `all_rows` and `all_failed` leave nothing out: items that any answer called stored, calls without an answer."""

    seconds: float = 0.0
    calls: int = 0
    answered: int = 0
    acknowledged_rows: int = 0
    refused_rows: int = 0
    all_rows: int = 0
    all_failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)

    def count(self, answer: pb.WriteAttributesResponse, latency: float) -> None:
        """Count an answered call."""
        self.answered += 1
        self.acknowledged_rows += answer.stored_count + answer.superseded_count
        self.refused_rows += answer.refused_count
        self.latencies.add(latency)

    def as_json(self) -> dict[str, Any]:
        """Return the figures; latencies in milliseconds."""
        percentiles = {f"p{percent:g}_ms": 1e3 * self.latencies.percentile(percent) for percent in (50, 90, 99, 99.9)}
        return {
            "seconds": self.seconds,
            "calls": self.calls,
            "answered": self.answered,
            "rows": self.acknowledged_rows,
            "refused_rows": self.refused_rows,
            "all_rows": self.all_rows,
            "all_failed": self.all_failed,
            "rows_per_second": self.acknowledged_rows / self.seconds if self.seconds else 0.0,
            "calls_per_second": self.answered / self.seconds if self.seconds else 0.0,
            "errors": dict(self.errors),
            **(percentiles if self.answered else {}),
            "max_ms": 1e3 * self.latencies.greatest,
        }


@asynccontextmanager
async def stubs(target: str, count: int) -> AsyncIterator[Sequence[Any]]:
    """Yield stubs, each on a connection of its own. They repeat nothing by themselves: what fails is counted."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(aio.insecure_channel(target, options=options)) for _ in range(count)
        ]
        yield [IngestServiceStub(channel) for channel in channels]


async def run(offer: Offer, connections: Sequence[Any], outcome: Outcome) -> Outcome:
    """Make the offer and return what became of it; `outcome` can be looked at meanwhile."""
    call = _Caller(offer, connections, outcome)
    if offer.rate:
        await _open_loop(offer, call)
    else:
        await _closed_loop(offer, call)
    outcome.seconds = offer.duration.total_seconds()
    return outcome


class _Caller:
    def __init__(self, offer: Offer, connections: Sequence[Any], outcome: Outcome) -> None:
        self.offer = offer
        self.connections = connections
        self.outcome = outcome
        self.next = offer.requests()
        self.began = time.perf_counter() + offer.warm_up.total_seconds()
        self.ends = self.began + offer.duration.total_seconds()
        self._turn = 0

    def counts(self, instant: float) -> bool:
        """Tell whether what happens at an instant is in the time that is measured."""
        return self.began <= instant < self.ends

    def connection(self) -> Any:
        self._turn += 1
        return self.connections[self._turn % len(self.connections)]

    async def one(self, intended: float) -> None:
        """Send one request and count what became of it."""
        request, timeout = self.next(), self.offer.timeout.total_seconds()
        if self.counts(intended):
            self.outcome.calls += 1
        try:
            identity = self.offer.identity(request.tenant_id)
            answer = await self.connection().WriteAttributes(request, timeout=timeout, metadata=identity)
        except aio.AioRpcError as error:
            self.failed(CallFailed.of(error).reason, intended)
        else:
            self.succeeded(answer, intended)

    def succeeded(self, answer: pb.WriteAttributesResponse, intended: float) -> None:
        now = time.perf_counter()
        self.outcome.all_rows += answer.stored_count
        # An open loop counts what it offered; a closed one what was answered in its time.
        if self.counts(intended if self.offer.rate else now):
            self.outcome.count(answer, now - intended)

    def failed(self, reason: str, intended: float) -> None:
        self.outcome.all_failed += 1
        if self.counts(intended):
            self.outcome.errors[reason] += 1


async def _open_loop(offer: Offer, call: _Caller) -> None:
    gaps = random.Random(offer.seed + 1)
    due = time.perf_counter()
    running: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        while due < call.ends:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            if len(running) >= offer.outstanding:
                call.failed("NOT_SENT", due)
            else:
                task = group.create_task(call.one(due))
                running.add(task)
                task.add_done_callback(running.discard)
            due += gaps.expovariate(offer.rate)


async def _closed_loop(offer: Offer, call: _Caller) -> None:
    async def caller() -> None:
        while (now := time.perf_counter()) < call.ends:
            await call.one(now)

    async with asyncio.TaskGroup() as group:
        for number, place in enumerate(dealt(offer.weights, offer.callers)):
            group.create_task(_stream(call, number, offer.loads[place]) if offer.stream else caller())


def dealt(weights: Sequence[float], count: int) -> list[int]:
    """Return for each of `count` streams which tenant it carries: in proportion to their weights, heaviest first."""
    given = [0] * len(weights)
    places = []
    for _ in range(count):
        place = max(range(len(weights)), key=lambda each: weights[each] / (given[each] + 1))
        given[place] += 1
        places.append(place)
    return places


async def _stream(call: _Caller, number: int, load: Repeated) -> None:
    sent: asyncio.Queue[float] = asyncio.Queue(IN_FLIGHT_OF_STREAM)

    async def requests() -> AsyncIterator[pb.StreamWriteAttributesRequest]:
        while (now := time.perf_counter()) < call.ends:
            await sent.put(now)
            yield pb.StreamWriteAttributesRequest(write=load.next())
            if call.counts(now):
                call.outcome.calls += 1

    stub = call.connections[number % len(call.connections)]
    whole = (call.offer.warm_up + call.offer.duration + call.offer.timeout).total_seconds()
    identity = call.offer.identity(load.tenant_id)
    try:
        async for answer in stub.StreamWriteAttributes(requests(), timeout=whole, metadata=identity):
            begun = await sent.get()
            if answer.HasField("error"):
                call.failed(answer.error.reason, begun)
            else:
                call.succeeded(answer.written, begun)
    except aio.AioRpcError as error:
        call.failed(CallFailed.of(error).reason, time.perf_counter())
